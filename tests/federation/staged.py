"""Staged: SQLAlchemy statements over tables that are loaded into a workspace by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, make_url
from sqlalchemy.engine.default import DefaultDialect

from manybase.federation.duckdb.dialect import DuckDBDialect
from manybase.federation.duckdb.values import Column
from manybase.federation.duckdb.workspace import Result, Workspace
from manybase.federation.semantics import POSTGRESQL, Semantics

Tables = Mapping[str, tuple[Sequence[Column], Sequence[Sequence[Any]]]]


class Cursor:
    """As much of a DBAPI cursor as SQLAlchemy asks for."""

    rowcount, arraysize = -1, 1

    def __init__(self, workspace: Workspace, carried: tuple[int, ...]) -> None:
        self.workspace = workspace
        self.carried = carried
        self.result: Result | None = None

    def execute(self, sql: str, parameters: Any = None) -> None:
        self.result = self.workspace.execute(sql, parameters, carried=self.carried)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.result, name)

    def close(self) -> None:
        pass


class Staging:
    """A DBAPI connection whose cursors see the loaded tables."""

    def __init__(self, tables: Tables, dialect: DuckDBDialect, carried: tuple[int, ...]) -> None:
        self.workspace = Workspace(dialect=dialect)
        self.carried = carried
        for name, (columns, rows) in tables.items():
            self.workspace.load(name, columns, rows)

    def cursor(self) -> Cursor:
        return Cursor(self.workspace, self.carried)

    def close(self) -> None:
        self.workspace.close()

    def commit(self) -> None:
        pass

    rollback = commit


def staged(
    tables: Tables,
    *,
    semantics: Semantics = POSTGRESQL,
    carried: tuple[int, ...] = (),
    dialect_class: Callable[..., DuckDBDialect] = DuckDBDialect,
) -> Connection:
    """A connection whose statements run over these tables. Close it."""
    dialect = dialect_class(semantics=semantics)
    dialect.dbapi = DuckDBDialect.import_dbapi()
    assert isinstance(dialect, DefaultDialect)
    pool = NullPool(lambda: Staging(tables, dialect, carried))  # type: ignore[arg-type,return-value]
    return Engine(pool, dialect, make_url("postgresql://")).connect()
