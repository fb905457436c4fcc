"""Refusals: what it is called when a participant refuses to prepare, or the coordinator to commit."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy.exc import DBAPIError, IntegrityError

from manybase.errors import AtomicityError, NotCommitted
from manybase.wire import is_lost, mysql_code, sqlstate

CONFLICT_STATES = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not free
CONFLICT_CODES = {1205, 1213, 1613, 1614}  # MySQL: lock wait timeout, deadlock; the same two in an XA branch
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
NO_SLOT, DISABLED, CANNOT = "53200", "55000", "0A000"
NOT_IN_TRANSACTION = "25P01"
READ_ONLY = "25006"
FAILED_BEFORE = "25P02"


def raise_told(error: BaseException, database: str) -> NoReturn:
    """Raise what a failure before the decision is called; nothing is committed, wherever it happened."""
    answer = told(error, database)
    if answer is error:
        raise error
    raise answer from error


def told(error: BaseException, database: str) -> BaseException:
    """The database's own error where it says what is wrong with the data or that it met another one; else ours."""
    if isinstance(error, TimeoutError):
        return NotCommitted(f"Database {database!r} did not answer in time (commit_timeout).", [database])
    if not isinstance(error, DBAPIError):
        return error
    if isinstance(error, IntegrityError) or is_conflict(error):
        return error
    if is_lost(error):
        return NotCommitted(f"The connection to {database!r} was lost.", [database])
    return named(sqlstate(error), database) or NotCommitted(f"Database {database!r} refused.", [database])


def named(state: str | None, database: str) -> NotCommitted | None:
    where = [database]
    if state == FAILED_BEFORE:
        return failed_before(database)
    if state == NO_SLOT:
        return NotCommitted(
            f"The server of {database!r} has no free slot for a prepared transaction. Raise its "
            "max_prepared_transactions: as many as all its clients may commit at once.",
            where,
        )
    if state == DISABLED:
        return AtomicityError(
            f"Database {database!r} cannot prepare: its max_prepared_transactions is 0. Set it and restart the server.",
            where,
        )
    if state == CANNOT:
        return AtomicityError(
            f"PostgreSQL cannot prepare what was done in {database!r}: a transaction that used a temporary table, "
            "NOTIFY, a cursor WITH HOLD or an exported snapshot. Do that in a session of its own.",
            where,
        )
    if state == NOT_IN_TRANSACTION:
        return AtomicityError(f"The connection to {database!r} is in autocommit: it has no transaction.", where)
    if state == READ_ONLY:
        return AtomicityError(f"The transaction in {database!r} is read only, and was to record the decision.", where)
    return None


def failed_before(database: str) -> NotCommitted:
    """PostgreSQL answers PREPARE and COMMIT of a failed transaction with ROLLBACK, and calls that a success."""
    return NotCommitted(
        f"An earlier statement had failed in {database!r} and its error was caught, so PostgreSQL could only roll "
        "back. Run what may fail inside session.begin_nested(), or roll back when it fails.",
        [database],
    )


def overtaken(database: str) -> NotCommitted:
    """The decision cannot be recorded: there is one, or it comes too late."""
    return NotCommitted(
        f"Recovery gave it up before {database!r} had decided: it took longer than recovery waits (min_age). Or the "
        "clocks of this machine and of that database differ by more than a day.",
        [database],
    )


def is_conflict(error: DBAPIError) -> bool:
    """Nothing is wrong with the transaction but that it met another one: tried again, it may succeed."""
    if sqlstate(error) in CONFLICT_STATES or mysql_code(error) in CONFLICT_CODES:
        return True
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    return sqlite_code is not None and sqlite_code & 0xFF in (SQLITE_BUSY, SQLITE_LOCKED)
