"""MySQL and MariaDB: a transaction that may be prepared must begin as XA. https://mariadb.com/kb/en/xa-transactions/"""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from manybase.gid import Xid, begun
from manybase.wire import mysql_code, run

UNKNOWN = 1397  # XAER_NOTA: it is finished, or the connection that prepared it still lives
NO_PRIVILEGE, SYNTAX = 1227, 1064
WITHOUT_TRANSACTIONS = (
    "SELECT t.table_name FROM information_schema.tables t JOIN information_schema.engines e ON t.engine = e.engine "
    "WHERE t.table_schema = database() AND t.table_type = 'BASE TABLE' AND coalesce(e.transactions, 'NO') <> 'YES'"
)


def begin(connection: Connection, xid: Xid) -> None:
    run(connection, f"XA START {xid}")


def prepare(connection: Connection, xid: Xid) -> None:
    run(connection, f"XA END {xid}")
    run(connection, f"XA PREPARE {xid}")


def commit(connection: Connection, xid: Xid) -> None:
    """Commit without preparing."""
    run(connection, f"XA END {xid}")
    run(connection, f"XA COMMIT {xid} ONE PHASE")


def roll_back(connection: Connection, xid: Xid) -> None:
    """Roll back what is not prepared."""
    try:
        run(connection, f"XA END {xid}")
    except DBAPIError as error:
        if error.connection_invalidated:
            raise  # the server rolls back by itself
    run(connection, f"XA ROLLBACK {xid}")


def commit_prepared(connection: Connection, xid: Xid) -> bool:
    return end(connection, f"XA COMMIT {xid}", xid)


def roll_back_prepared(connection: Connection, xid: Xid) -> bool:
    return end(connection, f"XA ROLLBACK {xid}", xid)


def end(connection: Connection, sql: str, xid: Xid) -> bool:
    """Whether it is over now: somebody else may be at it, or have been."""
    try:
        run(connection, sql)
    except DBAPIError as error:
        if mysql_code(error) == UNKNOWN:
            return all(other != xid for other, _ in prepared(connection, xid.app))
        raise
    return True


def prepared(connection: Connection, app: str) -> Iterator[tuple[Xid, float]]:
    """What is prepared on this server under a name of ours, and for how many seconds at most."""
    for _, length, _, data in connection.exec_driver_sql("XA RECOVER").all():
        text = data.decode("latin1") if isinstance(data, (bytes, bytearray)) else data
        xid = Xid.parse(text[:length], text[length:])
        if xid is not None and xid.app == app:
            yield xid, time.time() - begun(xid.transaction)


def is_primary(connection: Connection) -> bool:
    """A replica lists what its primary has prepared, and must not end it."""
    if connection.exec_driver_sql("SELECT @@global.read_only").scalar():
        return False
    for statement in ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"):
        try:
            return connection.exec_driver_sql(statement).first() is None
        except DBAPIError as error:
            if mysql_code(error) not in (NO_PRIVILEGE, SYNTAX):
                raise
    return True  # nobody may ask; a replica is read only as a rule


def tables_without_transactions(connection: Connection) -> frozenset[str]:
    return frozenset(connection.exec_driver_sql(WITHOUT_TRANSACTIONS).scalars())
