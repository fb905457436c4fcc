"""Dialect: what a session's statement over several databases is compiled by, and runs on.

To SQLAlchemy it is a database like any other: it compiles a SELECT once and keeps it, gets a cursor, reads rows, and
makes entities of them. Its compiler plans, its cursor runs the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, NullPool, Table, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.types import TypeEngine

from manybase.errors import AmbiguousRoute
from manybase.federation import internals
from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.dialect import DuckDBCompiler, DuckDBDialect
from manybase.federation.execution import Execution
from manybase.federation.planning import Planning
from manybase.federation.semantics import DIALECT, Semantics
from manybase.participants import MYSQL
from manybase.routing import Router
from manybase.tables import dialect_named

if TYPE_CHECKING:
    from manybase.session import Session


class FederatedCompiler(Planning, DuckDBCompiler):  # type: ignore[misc]  # both say what visit_ methods do
    pass


class FederatedContext(DefaultExecutionContext):
    def pre_exec(self) -> None:
        plan = getattr(self.compiled, "plan", None)
        if plan is not None and plan.fragments:
            connection: Any = self.root_connection.connection.dbapi_connection
            values, options = internals.values_of(self), self.execution_options
            self.cursor.execution = Execution(connection.session, self.compiled, values, options)  # type: ignore[attr-defined]

    def get_result_processor(self, type_: Any, colname: Any, coltype: Any) -> None:
        """Nothing is left to be done: a fragment's values are as SQLAlchemy gives them for its database."""


class FederatedDialect(DuckDBDialect):
    name = DIALECT
    driver = "federation"
    supports_statement_cache = True
    statement_compiler = FederatedCompiler
    execution_ctx_cls = FederatedContext

    def __init__(self, router: Router, semantics: Semantics, backends: Mapping[str, str], **options: Any) -> None:
        super().__init__(semantics=semantics, **options)
        self.router = router
        self.backends = backends

    def folds(self, database: str, type_: TypeEngine[Any]) -> bool:
        """Whether a database takes several spellings of such a text for the same."""
        backend = self.backends[database]
        there: Any = type_.dialect_impl(dialect_named(backend))
        collation = str(getattr(there, "collation", None) or "").lower()
        if backend in MYSQL:
            return not collation.endswith(("_bin", "_cs"))
        return collation == "nocase"

    def home_of(self, table: Table) -> str:
        """The database that owns a table."""
        owners = self.router.ownership.owners(table)
        if len(owners) > 1:
            raise AmbiguousRoute(
                f"Table {table.fullname!r} is in several databases, {', '.join(sorted(owners))}, and the statement "
                "needs others too. One statement cannot say which of them is meant: select from it alone.",
                sorted(owners),
            )
        return next(iter(owners))


class Cursor:
    """What SQLAlchemy needs of a DBAPI cursor. ``execution`` is what it runs."""

    arraysize = 1
    rowcount = -1
    description: Sequence[Any] | None = None
    execution: Execution | None = None

    def execute(self, statement: str, parameters: Any = None) -> None:
        if self.execution is not None:
            self.description = self.execution.run(statement, parameters)

    def fetchone(self) -> Any:
        assert self.execution is not None
        return self.execution.fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        assert self.execution is not None
        return self.execution.fetchmany(size or self.arraysize)

    def fetchall(self) -> Any:
        assert self.execution is not None
        return self.execution.fetchall()

    def close(self) -> None:
        if self.execution is not None:
            self.execution.close()
            self.execution = None


class DBAPIConnection:
    """``session``: whose connections the fragments use; it is known once the connection is part of a transaction."""

    session: Session

    def cursor(self) -> Cursor:
        return Cursor()

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class DBAPI:
    """What SQLAlchemy needs of a DBAPI module."""

    apilevel, threadsafety, paramstyle, Binary = "2.0", 1, "named", bytes
    Error = dbapi.Error  # of the executor: SQLAlchemy raises its own of it, as for any driver

    @staticmethod
    def connect() -> DBAPIConnection:
        return DBAPIConnection()


def make_federated_engine(router: Router, semantics: Semantics, backends: Mapping[str, str]) -> Engine:
    """The engine that statements over several databases run on; it connects to nothing of its own."""
    registry.register(DIALECT, __name__, FederatedDialect.__name__)
    return create_engine(
        f"{DIALECT}://",
        module=DBAPI,
        creator=DBAPIConnection,
        poolclass=NullPool,
        router=router,
        semantics=semantics,
        backends=backends,
        query_cache_size=1_000,
        enable_from_linting=False,
        hide_parameters=True,
    )
