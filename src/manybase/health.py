"""Health: whether each database answers, as plain data, on connections of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Literal, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase.connecting import make_async_engine, make_engine, unpooled
from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.gid import Gid, Xid
from manybase.participants import MYSQL, backend_of
from manybase.pending import Pending, Schema
from manybase.recovery import MIN_AGE
from manybase.replica_health import ReplicaHealth, ask_replicas
from manybase.tenant_health import DirectoryState, ask_directory, shared_parts
from manybase.twophase import mysql, postgresql
from manybase.wire import mysql_code, sqlstate

T = TypeVar("T")
InDoubt = tuple[int | None, float | None]
NOTHING_KNOWN = None, None
OLD = 2 * MIN_AGE  # seconds after which recovery should have ended a transaction
RARELY = 30  # seconds

Status = Literal["ok", "warn", "fail"]
ACCESS_DENIED_STATES = {"28000", "28P01"}
ACCESS_DENIED_CODES = {1044, 1045, 1698}  # MySQL


@dataclass(frozen=True)
class DatabaseHealth:
    """What is known of one database; ``None`` where nothing is. ``error`` is a kind of failure, never driver text.

    ``in_doubt`` transactions are prepared and not ended; "warn" says that recovery should have ended them, or that
    migrations are pending, of which those that an ``env.py`` runs are not known, or that a replica serves nobody.
    ``lock_active``: somebody migrates it. Of a database with tenants, ``directory`` says whether that answers; where
    each tenant has a database of its own, nothing else is asked, and of shards each is.
    """

    database: str
    status: Status
    connected: bool
    latency_ms: float | None = None
    pending_migrations: int | None = None
    lock_active: bool | None = None
    in_doubt: int | None = None
    oldest_in_doubt_seconds: float | None = None
    error: str | None = None
    replicas: tuple[ReplicaHealth, ...] = ()
    directory: DirectoryState | None = None
    shards: tuple[DatabaseHealth, ...] = ()


class Health:
    """Asks databases whether they answer: each within ``timeout`` seconds, at once, and once for all who ask meanwhile.

    An answer is kept for ``keep`` seconds, so that probes cost a database one statement per second however many ask.
    What is in doubt, and which migrations are pending, is asked twice a minute, where something can be.
    """

    def __init__(self, databases: Databases, *, timeout: float = 1.0, keep: float = 1.0) -> None:
        self.databases = databases
        self._timeout = timeout
        self._keep = keep
        self._engines: dict[str, AsyncEngine | Engine] = {}
        self._asked: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[DatabaseHealth]]]
        ] = WeakKeyDictionary()
        self._pending = Pending(databases)
        self._in_doubt = Rarely[InDoubt](self._ask_in_doubt, NOTHING_KNOWN, timeout / 2)
        self._schema = Rarely[Schema](self._ask_schema, NOTHING_KNOWN, timeout / 2)

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
        if database.name in self.databases.tenants:
            return await check_tenants(self.databases, database, self._answer, self._timeout)
        answer = await self._answer(database)
        if not answer.connected:
            return answer
        (count, oldest), (pending, locked), replicas = await asyncio.gather(
            self._in_doubt.known(database),
            self._schema.known(database),
            ask_replicas(self.databases, database.name, self._run, self._timeout / 2),
        )
        late = oldest is not None and oldest > OLD
        out = any(each.state not in ("ok", "unknown") for each in replicas)
        return replace(
            answer,
            status="warn" if late or pending or out else "ok",
            pending_migrations=pending,
            lock_active=locked,
            in_doubt=count,
            oldest_in_doubt_seconds=oldest,
            replicas=replicas,
        )

    async def _answer(self, database: Database) -> DatabaseHealth:
        """Whether it answers, and how soon."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                await self._run(database, select_one)
        except Exception as error:
            return DatabaseHealth(database.name, "fail", connected=False, error=kind_of(error))
        latency = round((time.perf_counter() - start) * 1000, 1)
        return DatabaseHealth(database.name, "ok", connected=True, latency_ms=latency)

    async def _ask_in_doubt(self, database: Database) -> InDoubt:
        if not self._may_be_in_doubt(database):
            return NOTHING_KNOWN
        return await self._run(database, partial(in_doubt, app=self.databases.app, name=database.name))

    def _may_be_in_doubt(self, database: Database) -> bool:
        return len(self.databases) > 1 and backend_of(self.databases, database.name) in ("postgresql", *MYSQL)

    async def _ask_schema(self, database: Database) -> Schema:
        if not self._pending.may_have_migrations(database):
            return NOTHING_KNOWN
        history = await asyncio.to_thread(self._pending.history_of, database.name)
        if history is None:
            return NOTHING_KNOWN
        return await self._run(database, partial(self._pending.ask, history=history, name=database.name))

    async def _run(self, database: Database, question: Callable[[Connection], T]) -> T:
        engine = self._engines.get(database.name) or self._make_engine(database)
        if isinstance(engine, Engine):
            return await asyncio.to_thread(connected, engine, question)
        async with engine.connect() as connection:
            return await connection.run_sync(question)

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


class Rarely(Generic[T]):
    """A question asked twice a minute: what was known then is good enough, and that nothing is known is no failure."""

    def __init__(self, ask: Callable[[Database], Awaitable[T]], nothing: T, timeout: float) -> None:
        self._ask = ask
        self._nothing = nothing
        self._timeout = timeout
        self._answers: dict[str, tuple[float, T]] = {}

    async def known(self, database: Database) -> T:
        asked, known = self._answers.get(database.name, (-RARELY, self._nothing))
        if time.monotonic() - asked < RARELY:
            return known
        known = self._nothing
        with suppress(Exception):
            async with asyncio.timeout(self._timeout):
                known = await self._ask(database)
        self._answers[database.name] = time.monotonic(), known
        return known


async def check_tenants(
    databases: Databases, database: Database, answer: Callable[[Database], Awaitable[DatabaseHealth]], timeout: float
) -> DatabaseHealth:
    """The directory, and the servers that all tenants share. A directory that fails is no reason to stop: who is known
    already is served."""
    directory, found = await asyncio.gather(
        ask_directory(databases, database.name, timeout),
        asyncio.gather(*map(answer, shared_parts(databases, database.name))),
    )
    connected = any(each.connected for each in found) if found else directory == "ok"
    worse = directory != "ok" or any(each.status != "ok" for each in found)
    status: Status = "fail" if found and not connected else "warn" if worse else "ok"
    if found and not database.shards:
        return replace(found[0], status=status, directory=directory)
    return DatabaseHealth(database.name, status, connected=connected, directory=directory, shards=tuple(found))


def connected(engine: Engine, question: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        return question(connection)


def select_one(connection: Connection) -> None:
    connection.execute(select(1))


def in_doubt(connection: Connection, app: str, name: str) -> InDoubt:
    """How many transactions are prepared in a database and not ended, and the age of the oldest."""
    listed: Callable[[Connection, str], Iterator[tuple[Gid | Xid, float]]]
    listed = mysql.prepared if connection.dialect.name in MYSQL else postgresql.prepared
    ages = [age for each, age in listed(connection, app) if each.participant == name]
    return len(ages), round(max(ages), 1) if ages else None


def kind_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConfigurationError):
        return "misconfigured"
    if sqlstate(error) in ACCESS_DENIED_STATES or mysql_code(error) in ACCESS_DENIED_CODES:
        return "access denied"
    return "unreachable" if isinstance(error, (SQLAlchemyError, OSError)) else "failed"
