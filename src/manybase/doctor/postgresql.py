"""PostgreSQL, examined."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from manybase import decision
from manybase.doctor.facts import Check, Facts, clock_difference, decision_table, old_ones
from manybase.doctor.findings import Finding
from manybase.twophase import postgresql

SCHEMA = (
    "SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace "
    "WHERE nspname = 'manybase'"
)
TRIES = 3  # to meet ourselves behind a pooler


def prepare(connection: Connection, facts: Facts) -> Iterator[Finding]:
    facts.slots = postgresql.slots(connection)
    facts.prepares = facts.slots > 0
    if not postgresql.is_primary(connection):
        message = (
            "It is a replica: nothing can be written, prepared or decided there, and recovery passes it over. Declare "
            "its primary."
        )
        yield Finding(facts.name, "warn", "replica", message)


def decisions(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Whether it can keep the decisions of the commits that it coordinates."""
    schema = connection.exec_driver_sql(SCHEMA).first()
    if schema is None:
        may = connection.exec_driver_sql("SELECT has_database_privilege(current_database(), 'CREATE')").scalar()
        missing = None if may else "it does not exist, and this user may not create its schema"
    elif not schema[0]:
        missing = "this user may not use its schema"
    elif connection.exec_driver_sql(decision.POSTGRESQL.exists).first() is None:
        missing = None if schema[1] else "it does not exist, and this user may not create it"
    else:
        rights = ("SELECT", "INSERT", "DELETE")
        asked = ", ".join(f"has_table_privilege('{decision.POSTGRESQL.table}', '{right}')" for right in rights)
        granted = connection.exec_driver_sql(f"SELECT {asked}").one()
        lacking = [right for right, has in zip(rights, granted, strict=True) if not has]
        missing = f"this user lacks {', '.join(lacking)} on it" if lacking else None
    yield from decision_table(facts, missing, "postgresql")


def in_doubt(connection: Connection, facts: Facts) -> Iterator[Finding]:
    yield from old_ones(facts, postgresql.prepared(connection, facts.app))


def durability(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Whether what is committed stays so after a crash, and after a failover."""
    asked = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
    fsync, synchronous = connection.exec_driver_sql(asked).one()
    if "off" in (fsync, synchronous):
        name = "fsync" if fsync == "off" else "synchronous_commit"
        message = (
            f"{name} = off: a crash of the server can lose the decision of a commit that others have already followed, "
            f"which tears it. Set {name} to on for this database and for its user."
        )
        yield Finding(facts.name, "fail", "durability", message)
    standbys, names = connection.exec_driver_sql(
        "SELECT (SELECT count(*) FROM pg_stat_replication), current_setting('synchronous_standby_names')"
    ).one()
    if names and synchronous in ("off", "local"):
        facts.loses_decisions = f"synchronous_commit = {synchronous} does not wait for its standbys"
    elif standbys and not names:
        facts.loses_decisions = "it has standbys and none is synchronous (synchronous_standby_names is empty)"


def clock(connection: Connection, facts: Facts) -> Iterator[Finding]:
    def ask() -> float:
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())

    yield from clock_difference(facts, ask)


def pooler(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Two connections that are both open and reach the same server process: a pooler hands it out per transaction.

    https://www.pgbouncer.org/features.html
    """
    with connection.engine.connect() as other:
        met = any(backend(connection) == backend_in_transaction(other) for _ in range(TRIES))
    if met:
        message = (
            "A pooler in transaction mode (such as PgBouncer) is in between. Atomic commits work: PREPARE needs its "
            "connection only inside the transaction, and COMMIT PREPARED works from any connection to the same "
            "database. What breaks: session-level advisory locks, SET and LISTEN, by which recovery may wait ten times "
            "as long for its turn; and prepared statements, unless the pooler tracks them (max_prepared_statements, "
            "PgBouncer 1.21) or the driver makes none (psycopg: prepare_threshold=None in connect_args, asyncpg: "
            "statement_cache_size=0)."
        )
        yield Finding(facts.name, "warn", "pooler", message)


def backend(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def backend_in_transaction(connection: Connection) -> int:
    connection.exec_driver_sql("BEGIN")
    try:
        return backend(connection)
    finally:
        connection.exec_driver_sql("ROLLBACK")


CHECKS: tuple[Check, ...] = (prepare, decisions, in_doubt, durability, clock, pooler)
