"""Root: the process's one in-memory DuckDB, made at first use. Nothing else imports duckdb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from manybase.errors import UnsupportedStatement
from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.arithmetic import MACROS
from manybase.forking import leave_to_parent, reset_after_fork

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SETTINGS = {  # it reads and writes nothing but what it is given, and the spill directory
    "allow_community_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
# DuckDB 2.0 makes an inner join of an outer one and then loses columns: "unordered_map::at", or an internal error. What
# can be said of outer joins the planner has said already.
BROKEN = ("outer_join_simplification",)
# Without these, tables in FROM would be multiplied before WHERE is looked at.
NEEDED = ("filter_pushdown", "join_order", "deliminator")


class Root:
    """Statements with equal options share one DuckDB: its memory limit holds for all of them together.

    ``optimizes``: whether it looks for the best plan, or does no more than to make joins of what it is given.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: dict[tuple[object, ...], DuckDBPyConnection] = {}
        reset_after_fork(self)

    def cursor(self, options: dict[str, Any], part: str, *, optimizes: bool = True) -> DuckDBPyConnection:
        """A connection of its own, with private temporary tables. ``part`` is what it is needed for."""
        key = (optimizes, *sorted(options.items()))
        connection = self._connections.get(key)
        if connection is None:
            with self._lock:
                connection = self._connections.get(key)
                if connection is None:
                    connection = self._connections[key] = opened(options, part, optimizes=optimizes)
        return connection.cursor()

    def give_up_broken(self) -> None:
        """DuckDB runs nothing more after an internal error: the next statement gets another one."""
        with self._lock:
            for key, connection in list(self._connections.items()):
                if not works(connection):
                    del self._connections[key]

    def forget_connections(self) -> None:
        leave_to_parent(*self._connections.values())  # its threads are not in the child
        self._lock = Lock()
        self._connections = {}


@cache
def root() -> Root:
    return Root()


def works(connection: DuckDBPyConnection) -> bool:
    import duckdb

    try:
        connection.cursor().execute("SELECT 1").fetchall()
    except duckdb.FatalException:
        return False
    except duckdb.Error:  # out of memory, for one
        pass
    return True


def opened(options: dict[str, Any], part: str, *, optimizes: bool) -> DuckDBPyConnection:
    connection: DuckDBPyConnection = imported(part).connect(":memory:", config=SETTINGS | options)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(MACROS)
    known = {name for (name,) in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()}
    disabled = known & set(BROKEN) if optimizes else known - set(NEEDED)
    connection.execute("SET disabled_optimizers = $names", {"names": ",".join(disabled)})
    connection.execute("SET enable_external_access = false")  # what is set above could not be, once it is
    return connection


def imported(part: str) -> Any:
    """DuckDB. ``UnsupportedStatement`` says that ``part`` needs it, where it is not installed."""
    try:
        import duckdb
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "duckdb":
            raise
        raise UnsupportedStatement(
            part, "it needs DuckDB, which is not installed", 'Install it: pip install "manybase[join]".'
        ) from None
    return duckdb


@contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors as those of ``dbapi``, which SQLAlchemy wraps as it wraps a driver's."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if "ivision by zero" in text:  # DuckDB files it under programming
            raise dbapi.DataError("division by zero") from None
        if isinstance(error, duckdb.FatalException):
            root().give_up_broken()
            raise dbapi.GivenUp(text) from None
        if isinstance(error, duckdb.InternalException) or type(error) is duckdb.Error:  # as "unordered_map::at"
            root().give_up_broken()
            raise dbapi.InternalError(text.partition("\n\nStack Trace")[0]) from None
        if isinstance(error, duckdb.InterruptException):
            raise dbapi.OperationalError(text) from None
        for name in ("DataError", "OperationalError", "InternalError", "NotSupportedError", "ProgrammingError"):
            if isinstance(error, getattr(duckdb, name)):
                raise getattr(dbapi, name)(text) from error
        raise dbapi.DatabaseError(text) from error
