"""What tenants cost: a session of one, the number of them, and engines that are closed for others.

    python -m benchmarks.tenants [--rounds 15] [--number 100]

A private PostgreSQL with 60 databases for tenants, and SQLite files. In each round every way runs ``number`` times, in
turn; printed are the median of one and the median of the ratios to the first way of each round. The last
column is that ratio for the CPU time of this process, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session as PlainSession

from manybase import Databases, Session
from tests.servers.postgresql import start_private
from tests.tenants.customers import Crm, Item, in_files, owned
from tests.tenants.torture import PREFIX, declare, prepare

Way = Callable[[int], object]
ONE = select(Item).where(Item.id == 1)
COUNT = 60


def measure(title: str, ways: dict[str, Way], rounds: int, number: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started, busy = time.perf_counter(), time.thread_time()
            for each in range(number):
                ways[name](each)
            if turn:  # the first one connects
                times[name].append((time.perf_counter() - started) / number)
                cpu[name].append(time.thread_time() - busy)
    for name in names:
        ratio, busy = (
            statistics.median(one / base for one, base in zip(found[name], found[names[0]], strict=True))
            for found in (times, cpu)
        )
        median = statistics.median(times[name]) * 1e3
        print(f"{title:22}{name:34}{median:>9.3f} ms{1e3 / median:>9.0f}/s{ratio:>8.3f}{busy:>8.3f}", flush=True)


def asking(databases: Databases, tenants: list[str]) -> Way:
    def ask(number: int) -> None:
        with Session(databases, tenant=tenants[number % len(tenants)]) as session:
            session.scalars(ONE).all()

    return ask


def statements(databases: Databases, tenant: str) -> Way:
    session = Session(databases, tenant=tenant)
    return lambda _: session.scalars(ONE).all()


def on_postgresql(rounds: int, number: int) -> None:
    server = start_private()
    try:
        tenants = [f"t{each:02}" for each in range(COUNT)]
        url = prepare(server, tenants).set(drivername=server.driver)
        engine = create_engine(url.set(database=f"{PREFIX}t00"))
        warm = declare(url, tenants, connections=100, engines=COUNT)
        evicting = declare(url, tenants, connections=100, engines=10)
        plain = PlainSession(engine)
        open_session: dict[str, Way] = {
            "plain Session": lambda _: plain.scalars(ONE).all(),
            "session of a tenant": statements(warm, "t00"),
        }
        measure("statement, PostgreSQL", open_session, rounds, number)

        def request(_: int) -> None:
            with PlainSession(engine) as session:
                session.scalars(ONE).all()

        whole: dict[str, Way] = {
            "plain Session": request,
            "session of a tenant": asking(warm, ["t00"]),
            f"of {COUNT} in turn, all engines warm": asking(warm, tenants),
        }
        measure("request, PostgreSQL", whole, rounds, number)
        cold: dict[str, Way] = {
            "all engines warm": asking(warm, tenants),
            f"10 engines for {COUNT}": asking(evicting, tenants),
        }
        measure("eviction, PostgreSQL", cold, max(3, rounds // 3), COUNT)
        plain.close()
        for each in (engine, warm, evicting):
            each.dispose()
    finally:
        server.close()


def on_sqlite(rounds: int, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        few, many = [f"t{each:05}" for each in range(10)], [f"t{each:05}" for each in range(10_000)]
        made = {len(names): in_files(Path(folder), frozenset(names)) for names in (few, many)}
        for tenant in few:
            engine = made[10].engine("crm", tenant=tenant)
            Crm.metadata.create_all(engine)
            with PlainSession(engine) as session:
                session.add_all(owned(tenant))
                session.commit()
        ways: dict[str, Way] = {f"one of {count:,}": asking(made[count], few) for count in made}
        measure("request, SQLite", ways, rounds, number)
        for each in made.values():
            each.dispose()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--number", type=int, default=100)
    given = parser.parse_args()
    on_sqlite(given.rounds, given.number)
    on_postgresql(given.rounds, given.number)


if __name__ == "__main__":
    main()
