"""Health: whether each database answers, as plain data, on connections of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase.connecting import make_async_engine, make_engine, unpooled
from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.wire import mysql_code, sqlstate

Status = Literal["ok", "warn", "fail"]
ACCESS_DENIED_STATES = {"28000", "28P01"}
ACCESS_DENIED_CODES = {1044, 1045, 1698}  # MySQL


@dataclass(frozen=True)
class DatabaseHealth:
    """What is known of one database; ``None`` where nothing is. ``error`` is a kind of failure, never driver text."""

    database: str
    status: Status
    connected: bool
    latency_ms: float | None = None
    pending_migrations: int | None = None
    lock_active: bool | None = None
    error: str | None = None


class Health:
    """Asks databases whether they answer: each within ``timeout`` seconds, at once, and once for all who ask meanwhile.

    An answer is kept for ``keep`` seconds, so that probes cost a database one statement per second however many ask.
    """

    def __init__(self, databases: Databases, *, timeout: float = 1.0, keep: float = 1.0) -> None:
        self.databases = databases
        self._timeout = timeout
        self._keep = keep
        self._engines: dict[str, AsyncEngine | Engine] = {}
        self._asked: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[DatabaseHealth]]]
        ] = WeakKeyDictionary()

    @property
    def required(self) -> tuple[str, ...]:
        """The databases without which the application cannot serve: the default one, and those that say so."""
        return tuple(each.name for each in self.databases if each.required or each.name == self.databases.default)

    async def check_all(self, names: Iterable[str]) -> list[DatabaseHealth]:
        """The health of several databases, asked at once."""
        return list(await asyncio.gather(*map(self.check, names)))

    async def check(self, name: str) -> DatabaseHealth:
        """The health of one database; ``UnknownDatabase`` if it is not declared."""
        database = self.databases[name]
        asked = self._asked.setdefault(asyncio.get_running_loop(), {})
        started, task = asked.get(name, (0.0, None))
        if task is None or (task.done() and time.monotonic() - started > self._keep):
            task = asyncio.create_task(self._ask(database))
            asked[name] = time.monotonic(), task
        return await asyncio.shield(task)  # who stops waiting does not stop it for the others

    async def _ask(self, database: Database) -> DatabaseHealth:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                await self._select_one(database)
        except Exception as error:
            return DatabaseHealth(database.name, "fail", connected=False, error=kind_of(error))
        latency = round((time.perf_counter() - start) * 1000, 1)
        return DatabaseHealth(database.name, "ok", connected=True, latency_ms=latency)

    async def _select_one(self, database: Database) -> None:
        engine = self._engines.get(database.name) or self._make_engine(database)
        if isinstance(engine, Engine):
            await asyncio.to_thread(select_one, engine)
            return
        async with engine.connect() as connection:
            await connection.execute(select(1))

    def _make_engine(self, database: Database) -> AsyncEngine | Engine:
        """An engine that keeps no connection: a pool that is full must not make its database look dead."""
        alone = unpooled(self.databases.options_of(database.name))
        engine: AsyncEngine | Engine
        try:
            engine = make_async_engine(database, alone)
        except ConfigurationError:  # no async driver: ask in a thread
            engine = make_engine(database, alone)
        self._engines[database.name] = engine
        return engine


def select_one(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(select(1))


def kind_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConfigurationError):
        return "misconfigured"
    if sqlstate(error) in ACCESS_DENIED_STATES or mysql_code(error) in ACCESS_DENIED_CODES:
        return "access denied"
    return "unreachable" if isinstance(error, (SQLAlchemyError, OSError)) else "failed"
