"""What an atomic commit costs: the commit alone, over 1 to 3 databases, against commits one after the other.

    python benchmarks/atomic_commit.py [--rounds 40] [--number 5]

Starts private servers: PostgreSQL waits two milliseconds before each flush (commit_delay), as a disk would. In each
round every way commits ``number`` transactions, in turn; printed are the median of a commit and the median of the
ratios to SQLAlchemy's plain commits, which are one after the other. The last table counts round trips on the wire.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy import URL, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm import Session as PlainSession

from benchmarks.round_trips import Counting
from manybase import Database, Databases, Session
from tests.servers import postgresql
from tests.servers.server import Server
from tests.servers.startup import Startup

FLUSH = {"fsync": "on", "commit_delay": "2000", "commit_siblings": "0"}  # microseconds


class FirstBase(DeclarativeBase): ...


class SecondBase(DeclarativeBase): ...


class ThirdBase(DeclarativeBase): ...


class First(FirstBase):
    __tablename__ = "first"
    id: Mapped[int] = mapped_column(primary_key=True)


class Second(SecondBase):
    __tablename__ = "second"
    id: Mapped[int] = mapped_column(primary_key=True)


class Third(ThirdBase):
    __tablename__ = "third"
    id: Mapped[int] = mapped_column(primary_key=True)


MODELS = (First, Second, Third)
BASES = (FirstBase, SecondBase, ThirdBase)
Make = Callable[[], PlainSession]


@dataclass
class Topology:
    """Databases at these URLs, and every way to commit over them."""

    urls: list[URL]
    writes: int

    def ways(self, stack: ExitStack) -> dict[str, Make]:
        names = ["first", "second", "third"][: len(self.urls)]
        declared = [Database(n, u, models=b) for n, u, b in zip(names, self.urls, BASES, strict=False)]
        databases = Databases(*declared)
        databases.create_all()
        stack.callback(databases.dispose)
        engines = [create_engine(url) for url in self.urls]
        for engine in engines:
            stack.callback(engine.dispose)
        binds = dict(zip(BASES, engines, strict=False))
        ways: dict[str, Make] = {
            "SQLAlchemy, one after the other": lambda: PlainSession(binds=binds),
            "manybase, atomic": lambda: Session(databases),
            "manybase, atomic=False": lambda: Session(databases, atomic=False),
        }
        if self.writes > 1 and all(url.get_backend_name() == "postgresql" for url in self.urls):
            ways["SQLAlchemy, twophase=True"] = lambda: PlainSession(binds=binds, twophase=True)
        return ways

    def work(self, session: PlainSession) -> None:
        for model in MODELS[: self.writes]:
            session.execute(insert(model))
        for model in MODELS[self.writes : len(self.urls)]:
            session.execute(select(model).limit(1)).all()


def commit_time(make: Make, topology: Topology) -> float:
    with make() as session:
        topology.work(session)
        start = time.perf_counter()
        session.commit()
        return time.perf_counter() - start


def measure(title: str, topology: Topology, *, rounds: int, number: int) -> None:
    with ExitStack() as stack:
        ways = topology.ways(stack)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(rounds + 2):
            order = list(ways)[round_ % len(ways) :] + list(ways)[: round_ % len(ways)]
            for name in order:
                each = statistics.median(commit_time(ways[name], topology) for _ in range(number))
                if round_ > 1:  # the first rounds fill pools and create the decision table
                    times[name].append(each)
    base = times["SQLAlchemy, one after the other"]
    print(f"\n{title}: median of {rounds} rounds of {number} commits")
    for name, took in times.items():
        ratios = [mine / theirs for mine, theirs in zip(took, base, strict=True)]
        print(f"  {name:34}{statistics.median(took) * 1e3:8.2f} ms   ratio {statistics.median(ratios):.2f}")


def count(title: str, urls: list[URL], writes: int) -> None:
    """Round trips of one commit, all its connections together."""
    with ExitStack() as stack:
        relays = [stack.enter_context(Counting(url)) for url in urls]
        topology = Topology([relay.url for relay in relays], writes)
        counted = []
        for name, make in topology.ways(stack).items():
            for _ in range(3):  # the last one counts: by then pools are full and tables known
                with make() as session:
                    topology.work(session)
                    before = sum(relay.round_trips for relay in relays)
                    session.commit()
                    after = sum(relay.round_trips for relay in relays)
            counted.append(f"{name} {after - before}")
        print(f"  {title}: {'; '.join(counted)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--number", type=int, default=5)
    options = parser.parse_args()
    postgresql.SETTINGS.update(FLUSH)
    startup = Startup(["postgresql", "mariadb"])
    try:
        compare(startup.server("postgresql"), startup.server("mariadb"), options.rounds, options.number)
    finally:
        startup.close()


def compare(pg: Server, maria: Server, rounds: int, number: int) -> None:
    def at(driver: str, count: int) -> list[URL]:
        return [pg.create_database().set(drivername=f"postgresql+{driver}") for _ in range(count)]

    mysql = maria.create_database().set(drivername="mysql+pymysql")
    cases = {
        "one writer, two PostgreSQL open": Topology(at("psycopg", 2), 1),
        "two PostgreSQL": Topology(at("psycopg", 2), 2),
        "three PostgreSQL": Topology(at("psycopg", 3), 3),
        "PostgreSQL and MariaDB": Topology([*at("psycopg", 1), mysql], 2),
    }
    for title, topology in cases.items():
        measure(title, topology, rounds=rounds, number=number)
    print("\nRound trips of one commit")
    for title, topology in cases.items():
        count(title, topology.urls, topology.writes)


if __name__ == "__main__":
    main()
