"""Packets: several statements in one round trip, each with an answer of its own, where the driver can: psycopg."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.util import await_only

PSYCOPG = ("psycopg", "psycopg_async")


@dataclass(frozen=True)
class Answer:
    """To one statement: rows of text, or the error."""

    rows: tuple[tuple[str | None, ...], ...] = ()
    error: Exception | None = None

    @property
    def row(self) -> tuple[str | None, ...] | None:
        return self.rows[0] if self.rows else None


def can_send(dialect: Dialect) -> bool:
    return dialect.driver in PSYCOPG


def send(connection: Connection, sql: str) -> list[Answer]:
    """The answers to several statements without parameters, up to the first error. Raises where the connection breaks.

    As the server, and not psycopg, knows whether a transaction is open, BEGIN and COMMIT may be among them.
    """
    driver = driver_of(connection)
    return [answer_of(driver, result) for result in waited_for(connection, exchange(driver, sql))]


def heard(connection: Connection) -> list[Any]:
    """The answers to what was sent."""
    return waited_for(connection, exchange(driver_of(connection), None))


def waited_for(connection: Connection, exchange: Generator[Any, Any, list[Any]]) -> list[Any]:
    results = driver_of(connection).wait(exchange)
    return await_only(results) if connection.dialect.is_async else results


def exchange(driver: Any, sql: str | None) -> Generator[Any, Any, list[Any]]:
    # psycopg's own execute() raises the error of one statement as if it were that of all, and a COMMIT that succeeded
    # would seem to have failed. Connection.wait() and the module psycopg.pq are documented; generators.execute(), there
    # since 3.0, is what they are for, and is not. test_commit_positions.py fails when it changes.
    from psycopg import generators

    if sql is not None:
        driver.pgconn.send_query(sql.encode())
    results: list[Any] = yield from generators.execute(driver.pgconn)
    return results


def send_begin(connection: Connection) -> bool:
    """Send BEGIN now where psycopg would do so with the next statement; whether its answer is due, before any other."""
    sql = next_begin(driver_of(connection))
    if sql is None:
        return False
    with suppress(Exception):  # that statement tells
        driver_of(connection).pgconn.send_query(sql)
    return True


def next_begin(driver: Any) -> bytes | None:
    """What psycopg would send, as far as that is known; None where it would send nothing."""
    if driver.pgconn.transaction_status or driver.autocommit:  # 0 is idle
        return None
    if driver.isolation_level is not None or driver.deferrable is not None or driver.read_only is False:
        return None
    return b"BEGIN READ ONLY" if driver.read_only else b"BEGIN"


def driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection


def answer_of(driver: Any, result: Any) -> Answer:
    from psycopg import errors, pq

    if result.status == pq.ExecStatus.TUPLES_OK:
        rows = (
            tuple(text_of(result.get_value(row, column)) for column in range(result.nfields))
            for row in range(result.ntuples)
        )
        return Answer(tuple(rows))
    if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY):
        return Answer()
    return Answer(error=errors.error_from_result(result, encoding=driver.info.encoding))


def text_of(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
