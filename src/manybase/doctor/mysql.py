"""MySQL and MariaDB, examined."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from manybase import decision
from manybase.doctor.facts import Check, Facts, clock_difference, decision_table, old_ones
from manybase.doctor.findings import Finding
from manybase.twophase import mysql
from manybase.wire import mysql_code

VARIABLES = (
    "SHOW VARIABLES WHERE variable_name IN ('wsrep_on', 'log_bin', 'sync_binlog', 'innodb_flush_log_at_trx_commit', "
    "'rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled')"
)
STREAMS = "SELECT count(*) FROM information_schema.processlist WHERE left(command, 11) = 'Binlog Dump'"
MINE = """concat("'", replace(current_user(), '@', "'@'"), "'")"""
PRIVILEGES = (
    f"SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {MINE} UNION "
    f"SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = {MINE} "
    "AND database() LIKE table_schema"
)
LISTED = 5  # tables


def prepare(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Whether XA is of use: recovery must be able to list what is prepared."""
    variables = settings(connection)
    facts.prepares = variables.get("wsrep_on") != "ON"
    try:
        connection.exec_driver_sql("XA RECOVER").all()
    except DBAPIError as error:
        if mysql_code(error) != mysql.NO_PRIVILEGE:
            raise
        message = (
            "This user may not list prepared transactions, so that recovery cannot end them. As an administrator: "
            "GRANT XA_RECOVER_ADMIN ON *.* TO the user."
        )
        yield Finding(facts.name, "fail", "prepare", message)
    if not mysql.is_primary(connection):
        message = (
            "It is a replica, or read only: nothing can be written or decided there, and recovery passes it over. "
            "Declare its primary."
        )
        yield Finding(facts.name, "warn", "replica", message)


def decisions(connection: Connection, facts: Facts) -> Iterator[Finding]:
    granted = set(connection.exec_driver_sql(PRIVILEGES).scalars())
    exists = connection.exec_driver_sql(decision.MYSQL.exists).first() is not None
    needed = {"SELECT", "INSERT", "DELETE"} if exists else {"SELECT", "INSERT", "DELETE", "CREATE"}
    if not exists and granted and not needed <= granted:
        lacking = ", ".join(sorted(needed - granted))
        message = (
            f"The table for the decisions of atomic commits does not exist yet, and this user lacks {lacking} unless a "
            f"role or a grant on the table gives it. Commits would be refused. Let an administrator run: "
            f"{decision.script('mysql')}"
        )
        yield Finding(facts.name, "warn", "decisions", message)
        return
    yield from decision_table(facts, None, "mysql")


def in_doubt(connection: Connection, facts: Facts) -> Iterator[Finding]:
    try:
        yield from old_ones(facts, mysql.prepared(connection, facts.app))
    except DBAPIError as error:
        if mysql_code(error) != mysql.NO_PRIVILEGE:  # which is told already
            raise


def durability(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Whether what is committed stays so after a crash, and after a failover."""
    variables = settings(connection)
    if variables.get("innodb_flush_log_at_trx_commit") != "1":
        message = (
            f"innodb_flush_log_at_trx_commit = {variables.get('innodb_flush_log_at_trx_commit')}: a crash of the "
            "server can lose the decision of a commit that others have already followed, which tears it. Set it to 1."
        )
        yield Finding(facts.name, "fail", "durability", message)
    if variables.get("log_bin") != "ON":
        return
    if variables.get("sync_binlog") != "1":
        message = (
            f"sync_binlog = {variables.get('sync_binlog')}: after a crash its binary log may lack what is committed, "
            "and its replicas and backups with it. Set it to 1."
        )
        yield Finding(facts.name, "warn", "durability", message)
    semi = "ON" in (variables.get("rpl_semi_sync_master_enabled"), variables.get("rpl_semi_sync_source_enabled"))
    if connection.exec_driver_sql(STREAMS).scalar() and not semi:
        facts.loses_decisions = "it has replicas, and semi-synchronous replication is off"


def tables(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Tables that no rollback undoes."""
    found = sorted(mysql.tables_without_transactions(connection))
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        message = (
            f"Tables without transactions: {', '.join(found[:LISTED])}{more}. No rollback undoes what is written "
            "there: beside other databases it is refused, and text() that does it all the same is not noticed. ALTER "
            "TABLE ... ENGINE=InnoDB."
        )
        yield Finding(facts.name, "warn", "tables", message)


def clock(connection: Connection, facts: Facts) -> Iterator[Finding]:
    def ask() -> float:
        return float(connection.exec_driver_sql("SELECT unix_timestamp(now(6))").scalar_one())

    yield from clock_difference(facts, ask)


def settings(connection: Connection) -> dict[str, str]:
    return {name.lower(): value for name, value in connection.exec_driver_sql(VARIABLES).all()}


CHECKS: tuple[Check, ...] = (prepare, decisions, in_doubt, durability, tables, clock)
