"""Parting: psycopg's connections to a replica send the ROLLBACK that ends a reader, and do not wait for its answer.

Nobody needs it, and it costs a round trip. Whoever uses the connection next hears it first.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from psycopg import AsyncConnection, Connection, OperationalError, generators
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy import Engine, event

BAD = "The connection was lost while its last transaction ended."


class Parting(Connection[Any]):
    """A connection of psycopg. ``is_unheard``: the answer to its last ROLLBACK is still to be read."""

    is_unheard = False

    def rollback(self) -> None:
        with self.lock:
            if part(self):
                return
        super().rollback()

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        if self.is_unheard:
            self.is_unheard = False
            super().wait(answer(self))
        return super().wait(gen, *arguments, **options)


class AsyncParting(AsyncConnection[Any]):
    """As ``Parting``, under asyncio."""

    is_unheard = False

    async def rollback(self) -> None:
        if not part(self):
            await super().rollback()

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        if self.is_unheard:
            self.is_unheard = False
            await super().wait(answer(self))
        return await super().wait(gen, *arguments, **options)


PARTING: dict[type, type] = {Connection: Parting, AsyncConnection: AsyncParting}


def part(driver: Parting | AsyncParting) -> bool:
    """Whether the ROLLBACK is on its way. Not where there is none to send, or more to do than that."""
    connection = driver.pgconn
    if connection.transaction_status != TransactionStatus.INTRANS or connection.pipeline_status != PipelineStatus.OFF:
        return False
    connection.send_query(b"ROLLBACK")
    driver.is_unheard = True
    return True


def answer(driver: Parting | AsyncParting) -> Generator[Any, Any, None]:
    # Not documented: generators.execute(), as in packets.py.
    yield from generators.execute(driver.pgconn)
    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
        driver.pgconn.finish()
        raise OperationalError(BAD)


def nothing() -> Generator[Any, Any, None]:
    """For ``wait()``, which then only hears what has been said so far."""
    yield from ()


def part_early(engine: Engine) -> None:
    """Let the connections of an engine do that, whatever else has a say in how they are made."""

    @event.listens_for(engine, "connect")
    def become(dbapi_connection: Any, _: object) -> None:
        driver: Any = getattr(dbapi_connection, "driver_connection", dbapi_connection)
        parting = PARTING.get(type(driver))
        if parting is not None:
            driver.__class__ = parting
            driver.prepare_threshold = None  # a ROLLBACK of psycopg's own would forget what it has prepared
