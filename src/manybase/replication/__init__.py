"""Replication, as each server does it: positions of a primary, what a replica has replayed, read only transactions.

All of it below SQLAlchemy's idea of a transaction: some of it is asked after the end of one, some before its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import await_only

from manybase import packets
from manybase.position import OnPrimary, Point, Wal
from manybase.replicas import Look
from manybase.replication import mysql, postgresql, tracking
from manybase.wire import commit, mysql_code, wrapped

MYSQL = ("mysql", "mariadb")
KNOWN = ("postgresql", *MYSQL)
DENIED = (1045, 1142, 1227)
INSTANCE = "manybase.instance"


def commit_and_tell(connection: Connection) -> Point | None:
    """COMMIT, and where the log stands then; in one round trip where the driver can. The errors are those of COMMIT."""
    if connection.dialect.name == "postgresql" and packets.can_send(connection.dialect):
        return commit_in_packet(connection)
    if tracking.TRACKS in connection.info:
        return tracking.commit(connection) or tell(connection)
    commit(connection)
    return tell(connection)


def commit_in_packet(connection: Connection) -> Point:
    try:
        committed, *told = packets.send(connection, f"COMMIT; {postgresql.CURRENT}")
    except Exception as error:
        raise wrapped(connection, "COMMIT", error) from error
    if committed.error is not None:
        raise wrapped(connection, "COMMIT", committed.error) from committed.error
    row = told[0].row if told else None
    return OnPrimary() if row is None else postgresql.current(row)


def tell(connection: Connection) -> Point | None:
    """Where the log stands, on a connection that has just committed; None where nothing was written into it.

    What cannot be told is on the primary.
    """
    with suppress(Exception):  # it is committed: nothing may fail any more
        if connection.dialect.name == "postgresql":
            return postgresql.current(alone(connection, postgresql.CURRENT))
        if connection.dialect.name in MYSQL:
            mariadb = is_mariadb(connection)
            (told,) = alone(connection, mysql.current_of(mariadb=mariadb))
            return mysql.parse(told, mariadb=mariadb)
    return OnPrimary()


def log_of(connection: Connection) -> Point | None:
    """Where the log of a primary stands, on a connection in autocommit."""
    if connection.dialect.name == "postgresql":
        return postgresql.current(ask(connection, postgresql.CURRENT))
    mariadb = is_mariadb(connection)
    (told,) = ask(connection, mysql.log_of(mariadb=mariadb))
    return mysql.parse(told, mariadb=mariadb)


def look(connection: Connection) -> Look:
    """What a server says of its part in replication. Its connection knows it from then on."""
    if connection.dialect.name == "postgresql":
        return known(connection, postgresql.look(ask(connection, postgresql.LOOK)))
    if connection.dialect.name not in MYSQL:
        return known(connection, Look("", follows=True))
    mariadb = is_mariadb(connection)
    (told,) = ask(connection, mysql.replayed_of(mariadb=mariadb))
    replayed, denied, status = mysql.parse(told, mariadb=mariadb), False, None
    try:
        status = ask_by_name(connection, mysql.STATUS[mariadb])
    except Exception as error:
        if mysql_code(wrapped(connection, "", error)) not in DENIED:
            raise
        denied = True
    server = ask(connection, mysql.SERVER)
    return known(connection, mysql.look(server, status, replayed, denied=denied, mariadb=mariadb))


def system_of(connection: Connection) -> int | None:
    """What a primary is called by those that follow it."""
    point = log_of(connection)
    if isinstance(point, Wal):
        return point.system
    (server,) = ask(connection, "SELECT @@server_id")
    return int(server)


def known(connection: Connection, look: Look) -> Look:
    connection.info[INSTANCE] = look.instance, look.system
    return look


def instance_of(connection: Connection) -> str | None:
    """Which server answers on this connection; None before the first look."""
    found = connection.info.get(INSTANCE)
    return None if found is None else str(found[0])


def replayed(connection: Connection) -> Point | None:
    """How far the server has come, as far as that can be believed; the connection has had a look before."""
    if connection.dialect.name == "postgresql":
        return postgresql.replayed(ask(connection, postgresql.REPLAYED), connection.info[INSTANCE][1])
    mariadb = is_mariadb(connection)
    (told,) = ask(connection, mysql.replayed_of(mariadb=mariadb))
    return mysql.parse(told, mariadb=mariadb)


def wait_on_server(connection: Connection, point: Point, seconds: float) -> bool:
    """Let the server wait, where it can: whether it did."""
    sql = mysql.waiting_for(point, seconds) if connection.dialect.name in MYSQL else None
    if sql is None:
        return False
    ask(connection, sql)
    return True


def ask(connection: Connection, sql: str) -> Any:
    """The row that answers, below SQLAlchemy; the driver may have begun a transaction for it."""
    if packets.can_send(connection.dialect):
        (answer,) = packets.send(connection, sql)
        if answer.error is not None:
            raise answer.error
        return answer.row
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone()
    finally:
        cursor.close()


def ask_by_name(connection: Connection, sql: str) -> Mapping[str, Any] | None:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        row = cursor.fetchone()
        names = [each[0] for each in cursor.description or ()]
        return None if row is None else dict(zip(names, row, strict=True))
    finally:
        cursor.close()


def alone(connection: Connection, sql: str) -> Any:
    """The row that answers, between two transactions: none begins for it, or it is ended."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver == "asyncpg":
        return await_only(driver.fetchrow(sql))
    if connection.dialect.driver == "psycopg2":
        driver.autocommit = True
        try:
            return ask(connection, sql)
        finally:
            driver.autocommit = False
    row = ask(connection, sql)
    if connection.dialect.name not in MYSQL and not packets.can_send(connection.dialect):
        connection.dialect.do_rollback(connection.connection)
    return row


def is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def read_only(engine: Engine, *, theirs: bool) -> None:
    """Each transaction of a replica's engine is read only, whatever becomes of its server. Not if it is not ours."""
    if theirs:
        return
    dialect: Any = engine.dialect
    if dialect.name == "postgresql":
        event.listen(engine, "connect", lambda connection, _: dialect.set_readonly(connection, True))
        if dialect.driver in packets.PSYCOPG:
            from manybase.replication.parting import part_early

            part_early(engine)
    elif dialect.name in MYSQL:
        event.listen(engine, "connect", lambda connection, _: run_on(connection, "SET SESSION TRANSACTION READ ONLY"))
    elif dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: run_on(connection, "PRAGMA query_only = 1"))


def begin_read_only(connection: Connection) -> None:
    """Before its first statement: the transaction of a connection that is not a replica's is read only all the same."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execution_options(postgresql_readonly=True)
    elif dialect in MYSQL:
        run_on(connection.connection, "START TRANSACTION READ ONLY")
    elif dialect == "sqlite":
        run_on(connection.connection, "PRAGMA query_only = 1")


def end_read_only(connection: Connection) -> None:
    """Before the connection of a SQLite file goes back to its pool."""
    if not connection.invalidated:
        with suppress(connection.dialect.loaded_dbapi.Error):
            run_on(connection.connection, "PRAGMA query_only = 0")


def run_on(dbapi_connection: Any, sql: str) -> None:
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def begin_statement(connection: Connection, *, read_only: bool = True) -> str | None:
    """The BEGIN that psycopg would send, to be sent together with a question; None where they must not go together.

    In REPEATABLE READ the question's own snapshot, which is older than its answer, would be that of the transaction.
    """
    if not packets.can_send(connection.dialect) or connection.dialect.name != "postgresql":
        return None
    driver: Any = connection.connection.driver_connection
    level = driver.isolation_level
    if driver.autocommit or (level is not None and level.name not in ("READ_COMMITTED", "READ_UNCOMMITTED")):
        return None
    if level is None and (connection.default_isolation_level or "READ COMMITTED") not in READ_COMMITTED:
        return None
    parts = ["BEGIN", "ISOLATION LEVEL READ COMMITTED" if level is not None else "", "READ ONLY" if read_only else ""]
    return " ".join(filter(None, parts))


READ_COMMITTED = ("READ COMMITTED", "READ UNCOMMITTED")


def has_early_snapshot(connection: Connection, level: str | None) -> bool:
    """Whether a question that is asked inside the transaction would fix what all its statements see."""
    if connection.dialect.name != "postgresql":
        return False  # InnoDB's snapshot comes with the first read of a table
    return (level or connection.default_isolation_level or "READ COMMITTED").upper() not in READ_COMMITTED


def is_timeline_known(point: Point | None) -> bool:
    return not isinstance(point, Wal) or point.timeline != 0
