"""The decision table: for each atomic commit, what its coordinator decided. One statement each.

``transaction_id`` is the primary key and thereby the arbiter: whoever inserts first, the coordinator its ``commit`` or
a recovering process its ``abort``, has decided.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from manybase.gid import TABLE, begun

Outcome = Literal["commit", "abort"]

FINISHED = "finished"  # a commit that recovery has ended everywhere: its coordinator may have to ask all the same
IDENTITY = "identity"  # a row that is no decision: what this table is called, wherever it is
LATEST = 86_400  # seconds after its begin that a transaction may still be committed
KEPT = 7 * LATEST  # seconds that the rest is kept: longer than any process could still try to commit, or ask


@dataclass(frozen=True)
class Statements:
    """What differs between the servers."""

    table: str
    create: tuple[str, ...]
    exists: str
    now: str
    age: str
    insert: str
    unless_there: str


POSTGRESQL = Statements(
    table=f"manybase.{TABLE}",
    create=(
        "SELECT pg_advisory_xact_lock(7163384698592123713)",  # IF NOT EXISTS alone fails where two create at once
        "CREATE SCHEMA IF NOT EXISTS manybase",
        f"CREATE TABLE IF NOT EXISTS manybase.{TABLE} (transaction_id varchar(128) PRIMARY KEY, "
        "outcome varchar(16) NOT NULL, participants text NOT NULL, decided_at timestamptz NOT NULL DEFAULT now())",
    ),
    exists=f"SELECT 1 WHERE to_regclass('manybase.{TABLE}') IS NOT NULL",
    now="extract(epoch FROM clock_timestamp())",
    age="extract(epoch FROM clock_timestamp() - decided_at)",
    insert="INSERT INTO",
    unless_there=" ON CONFLICT (transaction_id) DO NOTHING",
)
MYSQL = Statements(
    table=TABLE,
    create=(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (transaction_id varchar(128) CHARACTER SET ascii PRIMARY KEY, "
        "outcome varchar(16) NOT NULL, participants text NOT NULL, decided_at bigint NOT NULL) ENGINE=InnoDB",
    ),
    exists=f"SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = '{TABLE}'",
    now="unix_timestamp()",
    age="(unix_timestamp() - decided_at)",
    insert="INSERT IGNORE INTO",
    unless_there="",
)
SQLITE = Statements(
    table=TABLE,
    create=(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (transaction_id text PRIMARY KEY, outcome text NOT NULL, "
        "participants text NOT NULL, decided_at integer NOT NULL)",
    ),
    exists=f"SELECT 1 FROM sqlite_master WHERE name = '{TABLE}'",
    now="CAST(strftime('%s', 'now') AS integer)",
    age="(CAST(strftime('%s', 'now') AS integer) - decided_at)",
    insert="INSERT OR IGNORE INTO",
    unless_there="",
)
# A decision must outlive a crash: with synchronous_commit off, COMMIT would not wait for the disk. And who waits for a
# decision must not wait for ever: the server ends the transaction of a process that stands still, or whose machine is
# gone. Both local to the transaction, and in the INSERT itself, where they cost no round trip.
DURABLY_NOW = (
    "CASE WHEN set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true) "
    "IS NOT NULL AND set_config('idle_in_transaction_session_timeout', CASE "
    "current_setting('idle_in_transaction_session_timeout') WHEN '0' THEN '{standstill:.0f}s' "
    "ELSE current_setting('idle_in_transaction_session_timeout') END, true) IS NOT NULL THEN now() END"
)
STANDSTILL = 120.0  # seconds
BY_DIALECT: Mapping[str, Statements] = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL, "sqlite": SQLITE}


def of(connection: Connection) -> Statements:
    return BY_DIALECT[connection.dialect.name]


def create(connection: Connection) -> str:
    """The identity of the decision table, which exists from now on. ``connection`` commits by itself."""
    this = of(connection)
    if connection.exec_driver_sql(this.exists).first() is None:
        make(connection, this)
    found = identity(connection)
    if found is None:
        connection.exec_driver_sql(row(this, IDENTITY, "identity", uuid.uuid4().hex[:8], unless_there=True))
        found = identity(connection)
    assert found is not None
    return found


def make(connection: Connection, this: Statements) -> None:
    if this is not POSTGRESQL:
        for statement in this.create:
            connection.exec_driver_sql(statement)
        return
    with one_transaction(connection):  # which the lock needs
        for statement in this.create:
            connection.exec_driver_sql(statement)


def script(dialect: str) -> str:
    """What an administrator runs, where the application may not create tables."""
    return "; ".join(statement for statement in BY_DIALECT[dialect].create if statement.startswith("CREATE"))


def identity(connection: Connection) -> str | None:
    """What the decision table is called, or None where there is none."""
    this = of(connection)
    if connection.exec_driver_sql(this.exists).first() is None:
        return None
    asked = f"SELECT participants FROM {this.table} WHERE transaction_id = '{IDENTITY}'"
    found: str | None = connection.exec_driver_sql(asked).scalar()
    return found


def commit(
    dialect: str,
    transaction: str,
    participants: Iterable[str],
    schema: str | None = None,
    *,
    standstill: float = STANDSTILL,
) -> str:
    """SQL for the coordinator's own transaction: it is decided once that is committed.

    After ``standstill`` seconds without a COMMIT, PostgreSQL rolls it back. It fails where a recovering process was
    first, and where the transaction is so old that nobody remembers that.
    """
    this = BY_DIALECT[dialect]
    in_time = f"CASE WHEN abs({this.now} - {begun(transaction):.0f}) < {LATEST} THEN 'commit' END"
    return (
        f"INSERT INTO {table_in(dialect, schema)} (transaction_id, outcome, participants, decided_at) VALUES "
        + values(this, transaction, in_time, ",".join(participants), standstill)
    )


def table_in(dialect: str, schema: str | None) -> str:
    """The table as SQL names it: for a SQLite file that is attached to a connection, with its schema there."""
    table = BY_DIALECT[dialect].table
    return table if schema is None else f'"{schema}".{table}'


def pointer(transaction: str, participant: str, coordinator: str, identity: str) -> str:
    """SQL for an XA branch: it takes along who its coordinator is, where dirty reads find it."""
    return (
        "INSERT INTO "
        + TABLE
        + " (transaction_id, outcome, participants, decided_at) VALUES "
        + values(MYSQL, f"{transaction}:{participant}", "'prepared'", f"{coordinator}.{identity}")
    )


def coordinator_of(connection: Connection, transaction: str, participant: str) -> tuple[str, str] | None:
    """The coordinator of a prepared XA branch and its identity, which the branch itself carries."""
    asked = f"SELECT participants FROM {TABLE} WHERE transaction_id = '{transaction}:{participant}'"
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")  # for the next statement only
    found: str | None = connection.exec_driver_sql(asked).scalar()
    if found is None:
        return None
    name, _, identity = found.rpartition(".")
    return name, identity


def outcome(connection: Connection, transaction: str) -> Outcome | None:
    asked = f"SELECT outcome FROM {of(connection).table} WHERE transaction_id = '{transaction}'"
    found: Any = connection.exec_driver_sql(asked).scalar()
    return "commit" if found == FINISHED else found


def arbitrate(connection: Connection, transaction: str) -> Outcome:
    """What is decided; undecided so far, it is an abort from now on. Waits for a decision that is being committed."""
    this = of(connection)
    with patience(connection, this):
        connection.exec_driver_sql(row(this, transaction, "abort", "", unless_there=True))
    # There was a row, and there is none any more: a commit that is finished everywhere, or an abort that is very old.
    gone: Outcome = "abort" if time.time() - begun(transaction) > KEPT - LATEST else "commit"
    return outcome(connection, transaction) or gone


@contextmanager
def patience(connection: Connection, this: Statements) -> Iterator[None]:
    """Inside, an INSERT waits five seconds at most for another one of the same key. The session stays as it was."""
    if this is SQLITE:  # its connections have a timeout of their own
        yield
    elif this is POSTGRESQL:
        with one_transaction(connection):
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            yield
    else:
        connection.exec_driver_sql("SET innodb_lock_wait_timeout = 5")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("SET innodb_lock_wait_timeout = DEFAULT")


@contextmanager
def one_transaction(connection: Connection) -> Iterator[None]:
    """Several statements together, on a connection that commits each by itself."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def commits(connection: Connection, older_than: float) -> dict[str, tuple[str, ...]]:
    """The participants of each commit that is not forgotten yet."""
    this = of(connection)
    asked = f"SELECT transaction_id, participants FROM {this.table} WHERE outcome = 'commit' AND {this.age} >= "
    found = connection.exec_driver_sql(f"{asked}{older_than:f}").all()
    return {transaction: tuple(filter(None, names.split(","))) for transaction, names in found}


def forget(dialect: str, transactions: Iterable[str], schema: str | None = None) -> str:
    """SQL that deletes commits which no participant needs any more."""
    listed = ", ".join(f"'{transaction}'" for transaction in transactions)
    table = table_in(dialect, schema)
    return f"DELETE FROM {table} WHERE outcome IN ('commit', '{FINISHED}') AND transaction_id IN ({listed})"


def finish(connection: Connection, transactions: Iterable[str]) -> None:
    """Note that no participant needs these commits any more; whoever lost his connection in one may still ask."""
    listed = ", ".join(f"'{transaction}'" for transaction in transactions)
    table = of(connection).table
    connection.exec_driver_sql(
        f"UPDATE {table} SET outcome = '{FINISHED}' WHERE outcome = 'commit' AND transaction_id IN ({listed})"
    )


def forget_old(connection: Connection) -> None:
    """Delete what no process can be waiting to overrule, or to hear, any more."""
    this = of(connection)
    outcomes = f"outcome IN ('abort', '{FINISHED}')"
    asked = f"SELECT transaction_id FROM {this.table} WHERE {outcomes} AND {this.age} > {KEPT}"
    delete_each(connection, connection.exec_driver_sql(asked).scalars().all())


def forget_pointers(connection: Connection) -> None:
    """Delete what committed XA branches have left behind; those that are not committed, nobody sees here."""
    found = connection.exec_driver_sql(f"SELECT transaction_id FROM {TABLE} WHERE outcome = 'prepared'").scalars().all()
    delete_each(connection, found)


def delete_each(connection: Connection, keys: Iterable[str]) -> None:
    """One by one: on MySQL a DELETE that searches would wait for the branches that are in doubt."""
    for key in keys:
        connection.exec_driver_sql(f"DELETE FROM {of(connection).table} WHERE transaction_id = '{key}'")


def row(this: Statements, key: str, outcome: str, participants: str, *, unless_there: bool) -> str:
    insert = this.insert if unless_there else "INSERT INTO"
    ending = this.unless_there if unless_there else ""
    columns = "(transaction_id, outcome, participants, decided_at)"
    return f"{insert} {this.table} {columns} VALUES {values(this, key, repr(outcome), participants)}{ending}"


def values(this: Statements, key: str, outcome: str, participants: str, standstill: float = STANDSTILL) -> str:
    now = DURABLY_NOW.format(standstill=standstill) if this is POSTGRESQL else this.now
    return f"('{key}', {outcome}, '{participants}', {now})"
