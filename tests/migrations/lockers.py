"""Who takes the locks of an upgrade in the tests: through every driver, in this process or in one that is killed."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, TypeVar

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

from manybase import Database, Databases
from manybase.migrations.locks import guard, lock
from tests.atomic.dying import context
from tests.servers.mixed import DRIVERS, Drivers, Urls

T = TypeVar("T")
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}
BUSY = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep' AND state = 'active'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE locate('SELECT SLEEP', info) = 1",
}


@dataclass(frozen=True)
class Place:
    """A database, reached through a driver."""

    url: URL
    asyncio: bool

    @property
    def backend(self) -> str:
        return self.url.get_backend_name()

    def run(self, body: Callable[[Engine], T]) -> T:
        """What `body` returns for the engine that migrations lock with."""
        if not self.asyncio:
            return body(self.aside())

        async def main() -> T:
            return await self.spawn(body)

        return asyncio.run(main())

    async def spawn(self, body: Callable[[Engine], T]) -> T:
        engine = self.aside()
        return await greenlet_spawn(body, engine)

    def aside(self) -> Engine:
        return Databases(Database("shop", self.url)).aside("shop", asyncio=self.asyncio)

    def transactional(self) -> Engine:
        """As migrations run their statements: on connections of their own, in transactions."""
        if self.asyncio:
            return create_async_engine(self.url, poolclass=NullPool).sync_engine
        return create_engine(self.url, poolclass=NullPool)


def places(*backends: str, drivers: Sequence[Drivers] = DRIVERS) -> Any:
    """Each of these backends through each of its drivers, as parameters of the fixture `place`."""
    return pytest.mark.parametrize("place", [*parameters(backends, drivers)], indirect=True)


def parameters(backends: Sequence[str], drivers: Sequence[Drivers]) -> Iterator[Any]:
    for backend in backends:
        marks = [] if backend == "sqlite" else [getattr(pytest.mark, backend), pytest.mark.server]
        for name, one in {f"{kind(each)}-{getattr(each, backend)}": each for each in drivers}.items():
            yield pytest.param((backend, one), id=name, marks=marks)


def kind(drivers: Drivers) -> str:
    return "async" if drivers.kind.asyncio else "sync"


def place_of(request: pytest.FixtureRequest) -> Place:
    backend, drivers = request.param
    return Place(Urls(drivers, {backend: request.getfixturevalue(f"{backend}_url")})[backend], drivers.kind.asyncio)


@contextmanager
def in_child(body: Callable[[Place, Pipe], None], place: Place) -> Iterator["Child"]:
    """A process that holds what it locks until it is killed."""
    ours, its = context().Pipe()
    process = context().Process(target=body, args=(place, its), daemon=True)
    process.start()
    assert process.pid is not None
    child = Child(process.pid, ours)
    try:
        assert ours.poll(60), "It locks nothing."
        assert ours.recv() == "held"
        yield child
    finally:
        process.kill()
        process.join(30)
        process.close()
        ours.close()


@dataclass(frozen=True)
class Child:
    pid: int
    pipe: Pipe

    def kill(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)


def hold(place: Place, pipe: Pipe) -> None:
    def body(engine: Engine) -> None:
        with lock(engine, "shop", timeout=10):
            pipe.send("held")
            pipe.recv()

    place.run(body)


def hold_and_work(place: Place, pipe: Pipe) -> None:
    """A statement that takes three seconds runs under both locks."""

    def body(engine: Engine) -> None:
        with lock(engine, "shop", timeout=10), engine.connect() as connection:
            guard(connection, "shop", timeout=10)
            pipe.send("held")
            connection.exec_driver_sql(SLEEP[place.backend].format(3))

    place.run(body)


def wait_until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < deadline, "It never came true."
        time.sleep(0.02)


def is_busy(connection: Connection) -> bool:
    """Whether the statement of `hold_and_work` is running."""
    return bool(connection.exec_driver_sql(BUSY[connection.dialect.name]).scalar())
