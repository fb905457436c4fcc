"""Server locks: what PostgreSQL and MariaDB or MySQL lock by name for a session, and free when the session ends.

Nothing here waits inside the server: a statement that waits for a lock holds a snapshot, and CREATE INDEX CONCURRENTLY
of the one who has the lock would wait for that snapshot. Whoever wants to wait asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

SERVERS = ("postgresql", "mysql", "mariadb")
# A lock is lost with its connection, which is idle for as long as the upgrade takes. The keepalives are for whatever
# forgets idle connections on the way, and let the server know within minutes that the machine of a holder is gone.
KEPT = {"idle_session_timeout": "0", "tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10"}
KEPT |= {"tcp_keepalives_count": "6"}
LONGEST = 2147483  # seconds; what MySQL allows on Windows too
HELD = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((classid::bigint << 32) | objid::bigint) = {key}"
)


class ServerLock(Protocol):
    def take(self, connection: Connection) -> bool:
        """Whether it is this session's now. Never waits."""
        ...

    def give(self, connection: Connection) -> bool:
        """Free it; whether it was this session's until now."""
        ...

    def is_mine(self, connection: Connection) -> bool:
        """Whether this session has it."""
        ...

    def holder(self, connection: Connection) -> str | None:
        """The session that has it, as far as this account may know; None: nobody."""
        ...


def server_lock(connection: Connection, purpose: str, scope: str) -> ServerLock:
    """The lock of the database that this connection is in. Its name is the same in every release: older ones are
    still running while a newer one begins."""
    if connection.dialect.name == "postgresql":  # where each database has locks of its own
        return PostgreSQLLock(int.from_bytes(digest(purpose, scope)[:8], "big", signed=True))
    database = ask(connection, "SELECT DATABASE()")[0][0] or ""
    return MySQLLock(f"manybase.{digest(purpose, scope, database.lower()).hex()[:48]}")


@dataclass(frozen=True)
class PostgreSQLLock:
    """https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""

    key: int

    def take(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT pg_try_advisory_lock({self.key})")[0][0])

    def give(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT pg_advisory_unlock({self.key})")[0][0])

    def is_mine(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT 1 {HELD.format(key=self.key)} AND pid = pg_backend_pid()"))

    def holder(self, connection: Connection) -> str | None:
        rows = ask(
            connection,
            "SELECT held.pid, coalesce(client_hostname, host(client_addr), 'a local socket'), "
            f"query_start AT TIME ZONE 'UTC' FROM (SELECT pid {HELD.format(key=self.key)}) AS held "
            "LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid",
        )
        return told("backend", *rows[0]) if rows else None


@dataclass(frozen=True)
class MySQLLock:
    """https://mariadb.com/kb/en/get_lock/: its name is the whole server's. Of a cluster, it is that of one node."""

    name: str

    def take(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT GET_LOCK('{self.name}', 0)")[0][0])

    def give(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT RELEASE_LOCK('{self.name}')")[0][0])

    def is_mine(self, connection: Connection) -> bool:
        return bool(ask(connection, f"SELECT IS_USED_LOCK('{self.name}') = CONNECTION_ID()")[0][0])

    def holder(self, connection: Connection) -> str | None:
        session = ask(connection, f"SELECT IS_USED_LOCK('{self.name}')")[0][0]
        if session is None:
            return None
        try:
            rows = ask(
                connection,
                "SELECT host, UTC_TIMESTAMP() - INTERVAL list.time SECOND FROM information_schema.processlist AS list "
                f"WHERE list.id = {session}",
            )
        except DBAPIError:  # not allowed, or not there any more
            rows = []
        return told("connection", session, *(rows[0] if rows else (None, None)))


def told(kind: str, number: int, host: str | None, since: datetime | None) -> str:
    """Others' sessions are known by their number only, without the right to see more."""
    if since is None or host is None:
        return f"{kind} {number}"
    return f"{kind} {number} from {host} since {since:%Y-%m-%d %H:%M:%S} UTC"


def outlast_timeouts(connection: Connection) -> None:
    """This connection stays, however long it has nothing to do."""
    if connection.dialect.name == "postgresql":  # from the list of what this release knows
        values = " ".join(f"WHEN '{name}' THEN '{value}'" for name, value in KEPT.items())
        names = ", ".join(f"'{name}'" for name in KEPT)
        ask(
            connection,
            f"SELECT set_config(name, CASE name {values} END, false) FROM pg_settings WHERE name IN ({names})",
        )
    else:
        ask(connection, f"SET SESSION wait_timeout = {LONGEST}")


def ask(connection: Connection, sql: str) -> Sequence[Any]:
    """The rows of a statement, which leaves a connection without a transaction as it was.

    The first statement on a connection begins a transaction, SQLAlchemy's and the driver's. Both are committed here
    at once: a migration must find none, and what a session locks is not in it.
    """
    if connection.in_transaction():
        return rows_of(connection, sql)
    with connection.begin():
        return rows_of(connection, sql)


def rows_of(connection: Connection, sql: str) -> Sequence[Any]:
    result = connection.exec_driver_sql(sql)
    return result.all() if result.returns_rows else ()


def digest(*words: str) -> bytes:
    return sha256("\0".join(("manybase migrations", *words)).encode()).digest()
