"""Wire: one statement on the connection of a transaction, past SQLAlchemy's and the driver's idea of that transaction.

PREPARE TRANSACTION, XA and COMMIT PREPARED end and finish transactions behind their backs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.util import await_only

from manybase.concurrency import Late, workers
from manybase.watchdog import watch_on

TRACKS_BY_ITSELF = ("asyncpg", "psycopg2")  # psycopg asks the server's last answer instead


def run(connection: Connection, sql: str) -> str | None:
    """Run ``sql`` as it is; what the server calls it afterwards (its command tag), where the driver tells.

    Raises SQLAlchemy's errors, ``connection_invalidated`` where the connection is lost.
    """
    try:
        return send(connection, sql)
    except DBAPIError:
        raise
    except Exception as error:
        raise wrapped(connection, sql, error) from error


def send(connection: Connection, sql: str) -> str | None:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver == "asyncpg":
        tag: str = await_only(driver.execute(sql))
        return tag
    if connection.dialect.driver in ("psycopg", "psycopg_async"):
        return with_psycopg(driver, sql, asyncio=connection.dialect.is_async)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return getattr(cursor, "statusmessage", None)
    finally:
        cursor.close()


def with_psycopg(driver: Any, sql: str, *, asyncio: bool) -> str | None:
    between = driver.info.transaction_status == 0 and not driver.autocommit  # then it would send BEGIN first
    if between:
        set_autocommit(driver, True, asyncio=asyncio)
    try:
        cursor = await_only(driver.execute(sql)) if asyncio else driver.execute(sql)
        while cursor.nextset():
            pass
        tag: str | None = cursor.statusmessage
        return tag
    finally:
        if between and not driver.closed:
            set_autocommit(driver, False, asyncio=asyncio)


def set_autocommit(driver: Any, value: bool, *, asyncio: bool) -> None:
    if asyncio:
        await_only(driver.set_autocommit(value))
    else:
        driver.autocommit = value


def commit(connection: Connection) -> None:
    """COMMIT below SQLAlchemy's transaction object, whose own COMMIT, sent later, then finds nothing to do."""
    try:
        connection.dialect.do_commit(connection.connection)
    except connection.dialect.loaded_dbapi.Error as error:
        raise wrapped(connection, "COMMIT", error) from error


def socket_of(connection: Connection) -> int | None:
    """The one on which this thread would wait for the server, as a file descriptor, where the driver tells."""
    if connection.dialect.driver not in ("psycopg", "psycopg2") or is_abandoned(connection):
        return None
    driver: Any = connection.connection.driver_connection
    try:
        fileno: int = driver.fileno()
    except Exception:  # it is closed
        return None
    return fileno


def settle(connection: Connection) -> None:
    """After what it knows nothing of, let the driver end the transaction that it believes in.

    It gets an empty one for that: without one PostgreSQL writes a warning into its log, each time.
    """
    if connection.dialect.driver in TRACKS_BY_ITSELF:
        run(connection, "BEGIN")
        commit(connection)


def wrapped(connection: Connection, sql: str, error: Exception) -> Exception:
    """The error that SQLAlchemy raises for this one of the driver."""
    dialect = connection.dialect
    if not isinstance(error, dialect.loaded_dbapi.Error):  # asyncpg's own: SQLAlchemy translates only what it sends
        return translated(connection, sql, error)
    lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    known = DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, True, lost, dialect)
    return known if isinstance(known, Exception) else error


def translated(connection: Connection, sql: str, error: Exception) -> Exception:
    driver: Any = connection.connection.driver_connection
    lost = isinstance(error, OSError) or bool(getattr(driver, "is_closed", bool)())
    state = getattr(error, "sqlstate", None)
    if state is None and not lost:
        return error
    kind = IntegrityError if (state or "").startswith("23") else OperationalError
    return kind(sql, None, error, hide_parameters=True, connection_invalidated=lost)


def sqlstate(error: BaseException | None) -> str | None:
    """What SQL standard and PostgreSQL call the failure, five letters and digits."""
    origin = getattr(error, "orig", error)
    state = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    return state if isinstance(state, str) else None


def mysql_code(error: BaseException | None) -> int | None:
    """What MySQL and MariaDB call the failure."""
    arguments = getattr(getattr(error, "orig", error), "args", None)
    code = arguments[0] if arguments else None
    return code if isinstance(code, int) else None


def is_lost(error: BaseException) -> bool:
    """Whether the server did not answer, so that what was asked may have happened all the same."""
    return not isinstance(error, DBAPIError) or error.connection_invalidated


class Nothing:
    """Takes the place of a DBAPI connection that nobody may use any more: whatever ends a transaction does nothing."""

    def nothing(self, *_: Any) -> None: ...

    commit = rollback = close = terminate = nothing


def abandon(connection: Connection, late: Late | None = None) -> None:
    """Take a lost or stuck DBAPI connection out of its pool, in the middle of a transaction whose outcome is known.

    SQLAlchemy still commits or rolls back its own transaction object, and must find that easy. ``late`` is the job that
    is still using it: drivers written in C do not survive that another thread closes it under their feet.
    """
    if connection.closed or is_abandoned(connection):
        return
    proxied: Any = connection.connection
    lost, dialect = proxied.dbapi_connection, connection.dialect
    fileno = None if late is None or late.job.done() else socket_of(connection)
    watch = None if fileno is None else watch_on(fileno, 0)
    connection.detach()
    proxied.dbapi_connection = Nothing()

    def close(_: object = None) -> None:
        with suppress(Exception):
            dialect.do_close(lost)

    if dialect.is_async:
        dialect.do_terminate(lost)
    elif late is None:
        workers().start(close)  # may wait for a server that does not answer
    else:
        if watch is not None:
            watch.cut()  # it need not wait for its answer
            watch.socket.close()
        late.job.add_done_callback(close)


class Ended:
    """Takes the place of a DBAPI connection whose transaction is over, until somebody commits or rolls it back again.

    SQLAlchemy does, after us, and most drivers would send that. It could only fail, and the commit seem to have failed.
    """

    def __init__(self, proxied: Any) -> None:
        self._proxied = proxied
        self._itself = proxied.dbapi_connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._itself, name)

    def commit(self) -> None:
        self._proxied.dbapi_connection = self._itself

    rollback = commit


def is_over(connection: Connection) -> None:
    """The transaction of this connection is committed: the COMMIT of SQLAlchemy that follows is not to be sent."""
    if not connection.closed and not is_abandoned(connection):
        proxied: Any = connection.connection
        proxied.dbapi_connection = Ended(proxied)


def is_abandoned(connection: Connection) -> bool:
    return connection.invalidated or isinstance(connection.connection.dbapi_connection, Nothing)
