"""Packets: several statements in one round trip, each with an answer of its own, where the driver can: psycopg."""

from __future__ import annotations

from collections.abc import Generator, Iterable
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


def send_begin(connections: Iterable[Connection]) -> list[Connection]:
    """Send BEGIN where psycopg would with the next statement, if there are several such; their answers are due.

    What fails is left to that statement.
    """
    begun = {each: sql for each in connections if can_send(each.dialect) and (sql := next_begin(each)) is not None}
    if len(begun) > 1:
        for connection, sql in begun.items():
            with suppress(Exception):
                driver_of(connection).pgconn.send_query(sql)
    return [*begun] if len(begun) > 1 else []


def next_begin(connection: Connection) -> bytes | None:
    """What psycopg would send, as far as that is known; None where it would send nothing."""
    driver = driver_of(connection)
    if driver.autocommit or driver.isolation_level is not None or driver.deferrable is not None:
        return None
    if driver.read_only is False or driver.info.transaction_status.name != "IDLE":
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
