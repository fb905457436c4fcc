"""What reading your own writes from replicas costs: the position of a commit, and a read after it.

    python benchmarks/replicas.py [--rounds 20] [--number 50]

Starts private servers: PostgreSQL with a hot standby, MariaDB with a replica. In each round every way runs ``number``
times, in turn; printed are the median of one and the median of the ratios to the plain way of each round. A commit is
measured alone; a read is a whole session on the replica, against a plain SQLAlchemy session there. The last column is
that ratio for the CPU time of this process and whole transactions, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import URL, create_engine, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as PlainAsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm import Session as PlainSession

from manybase import AsyncSession, Database, Databases, Position, Session
from tests.servers.replicated import Replicated, start_mariadb, start_postgresql


class Base(DeclarativeBase): ...


class Counter(Base):
    __tablename__ = "counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


ONE = select(Counter.value).where(Counter.id == 1)
MORE = update(Counter).where(Counter.id == 1).values(value=Counter.value + 1)
Way = Callable[[int], Awaitable[float]]


@dataclass
class Bench:
    """A database and its replica through one driver, declared with the replica and without."""

    servers: Replicated
    url: URL
    driver: str

    def __post_init__(self) -> None:
        name = f"{self.url.get_backend_name()}+{self.driver}"
        self.url = self.url.set(drivername=name)
        self.on_replica = self.servers.url_on_replica(self.url)
        self.with_replica = Databases(Database("shop", self.url, models=Base, replicas=[self.on_replica]))
        self.without = Databases(Database("shop", self.url, models=Base))


class Sync(Bench):
    def ways(self) -> dict[str, dict[str, Way]]:
        self.primary, self.replica = create_engine(self.url), create_engine(self.on_replica)
        return {
            "commit": {
                "plain": lambda n: self.commit(lambda: PlainSession(self.primary), n),
                "manybase, no replica": lambda n: self.commit(lambda: Session(self.without), n),
                "manybase, position": lambda n: self.commit(lambda: Session(self.with_replica), n),
            },
            "read": {
                "plain": lambda n: self.read(lambda: PlainSession(self.replica), n),
                "role=replica": lambda n: self.read(lambda: Session(self.with_replica, role="replica"), n),
                "after, known": lambda n: self.read(lambda: self.after(known=True), n),
                "after, asked": lambda n: self.read(lambda: self.after(known=False), n),
            },
        }

    def after(self, *, known: bool) -> Session:
        if not known:
            self.with_replica.replicas["shop"].replicas[0].replayed.clear()
        return Session(self.with_replica, role="replica", after=self.position)

    async def commit(self, make: Callable[[], PlainSession], number: int) -> float:
        seconds = 0.0
        for _ in range(number):
            with make() as session:
                session.execute(MORE)
                started = time.perf_counter()
                session.commit()
                seconds += time.perf_counter() - started
        return seconds / number

    async def read(self, make: Callable[[], PlainSession], number: int) -> float:
        started = time.perf_counter()
        for _ in range(number):
            with make() as session:
                session.execute(ONE).all()
        return (time.perf_counter() - started) / number

    async def settle(self) -> None:
        with Session(self.with_replica) as session:
            session.execute(MORE)
            session.commit()
            self.position: Position = session.position
        self.servers.wait()
        with self.after(known=True) as session:
            session.execute(ONE)  # from now on it is known

    async def end(self) -> None:
        for each in (self.with_replica, self.without, self.primary, self.replica):
            each.dispose()


class Async(Bench):
    def ways(self) -> dict[str, dict[str, Way]]:
        self.primary: AsyncEngine = create_async_engine(self.url)
        self.replica: AsyncEngine = create_async_engine(self.on_replica)
        return {
            "commit": {
                "plain": lambda n: self.commit(lambda: PlainAsyncSession(self.primary), n),
                "manybase, no replica": lambda n: self.commit(lambda: AsyncSession(self.without), n),
                "manybase, position": lambda n: self.commit(lambda: AsyncSession(self.with_replica), n),
            },
            "read": {
                "plain": lambda n: self.read(lambda: PlainAsyncSession(self.replica), n),
                "role=replica": lambda n: self.read(lambda: AsyncSession(self.with_replica, role="replica"), n),
                "after, known": lambda n: self.read(lambda: self.after(known=True), n),
                "after, asked": lambda n: self.read(lambda: self.after(known=False), n),
            },
        }

    def after(self, *, known: bool) -> AsyncSession:
        if not known:
            self.with_replica.replicas["shop"].replicas[0].replayed.clear()
        return AsyncSession(self.with_replica, role="replica", after=self.position)

    async def commit(self, make: Callable[[], PlainAsyncSession], number: int) -> float:
        seconds = 0.0
        for _ in range(number):
            async with make() as session:
                await session.execute(MORE)
                started = time.perf_counter()
                await session.commit()
                seconds += time.perf_counter() - started
        return seconds / number

    async def read(self, make: Callable[[], PlainAsyncSession], number: int) -> float:
        started = time.perf_counter()
        for _ in range(number):
            async with make() as session:
                (await session.execute(ONE)).all()
        return (time.perf_counter() - started) / number

    async def settle(self) -> None:
        async with AsyncSession(self.with_replica) as session:
            await session.execute(MORE)
            await session.commit()
            self.position: Position = session.position
        await asyncio.to_thread(self.servers.wait)
        async with self.after(known=True) as session:
            await session.execute(ONE)  # from now on it is known

    async def end(self) -> None:
        for databases in (self.with_replica, self.without):
            await databases.adispose()
        for engine in (self.primary, self.replica):
            await engine.dispose()


async def measure(bench: Sync | Async, rounds: int, number: int) -> None:
    for what, ways in bench.ways().items():
        times: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            await bench.settle()
            names = list(ways)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                before = time.thread_time()
                seconds = await ways[name](number)
                if turn:  # the first one connects
                    times[name].append(seconds)
                    cpu[name].append(time.thread_time() - before)
        for name in ways:
            ratio, busy = (
                statistics.median(each / base for each, base in zip(found[name], found["plain"], strict=True))
                for found in (times, cpu)
            )
            median = statistics.median(times[name]) * 1e3
            print(f"{bench.driver:16}{what:8}{name:24}{median:>9.3f} ms{ratio:>8.3f}{busy:>8.3f}")
    await bench.end()


def prepare(servers: Replicated) -> URL:
    url = servers.primary.create_database()
    databases = Databases(Database("shop", url, models=Base))
    databases.create_all()
    with Session(databases) as session:
        session.add(Counter(id=1))
        session.commit()
    databases.dispose()
    servers.wait()
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--number", type=int, default=50)
    options = parser.parse_args()
    print(f"{'driver':16}{'':8}{'':24}{'median':>12}{'ratio':>8}{'CPU':>8}")
    servers: Replicated = start_postgresql(fsync="on", commit_delay="2000", commit_siblings="0")  # a disk of 2 ms
    try:
        url = prepare(servers)
        for sync in ("psycopg", "psycopg2"):
            asyncio.run(measure(Sync(servers, url, sync), options.rounds, options.number))
        for driver in ("psycopg", "asyncpg"):
            asyncio.run(measure(Async(servers, url, driver), options.rounds, options.number))
    finally:
        servers.close()
    servers = start_mariadb()
    try:
        url = prepare(servers)
        asyncio.run(measure(Sync(servers, url, "pymysql"), options.rounds, options.number))
        asyncio.run(measure(Async(servers, url, "asyncmy"), options.rounds, options.number))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
