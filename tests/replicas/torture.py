"""100,000 reads, each right after a write, of replicas that are behind: how many show an older state.

    python -m tests.replicas.torture [--reads 100000] [--clients 4] [--only 200]

Private servers; each client has a row of its own, and somebody else fills the log. With positions the answer must be 0
in every line; the control, without positions, shows what there is to be protected from. Exits with 1 where it is not.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from manybase import Databases, Session
from tests.replicas.counters import Base, Counter, Pair, declare
from tests.servers.replicated import ByGtid, Replicated, Streaming, paused, start_mariadb, start_postgresql

MADE_UP = 1_000_000  # ids of the rows that fill the log


@dataclass(frozen=True)
class Setting:
    name: str
    share: float
    where: Callable[[Any, Databases], Any]


@contextmanager
def unnoticed(servers: Replicated, databases: Databases) -> Iterator[None]:
    """Nothing is replayed, and nobody takes notice: only positions can tell."""
    (replica,) = databases.replicas["shop"]
    vars(replica)["_state"] = lambda *_: "ok"
    with paused(servers):
        yield


@contextmanager
def delayed(servers: Any, amount: int) -> Iterator[None]:
    servers.delay(amount)
    try:
        yield
    finally:
        servers.delay(0)


POSTGRESQL = [
    Setting("PostgreSQL, no delay", 0.40, lambda *_: nullcontext()),
    Setting("PostgreSQL, 20 ms", 0.14, lambda servers, _: delayed(servers, 20)),
    Setting("PostgreSQL, 200 ms", 0.14, lambda servers, _: delayed(servers, 200)),
    Setting("PostgreSQL, replay paused", 0.10, unnoticed),
]
MARIADB = [
    Setting("MariaDB, no delay", 0.10, lambda *_: nullcontext()),
    Setting("MariaDB, 1 s", 0.02, lambda servers, _: delayed(servers, 1)),
    Setting("MariaDB, SQL thread stopped", 0.10, unnoticed),
]


class Run:
    """Clients that write and read as fast as they can, until there are as many reads as asked for."""

    def __init__(self, databases: Databases, reads: int, clients: int, *, positions: bool) -> None:
        self.databases = databases
        self.positions = positions
        self.reads = [reads // clients + (number < reads % clients) for number in range(clients)]
        self.stale = 0
        self.errors: list[BaseException] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self.guarded, args=(self.client, n)) for n in range(len(self.reads))]
        load = threading.Thread(target=self.guarded, args=(self.fill, 0))
        for each in (*threads, load):
            each.start()
        for each in threads:
            each.join()
        self.over.set()
        load.join()

    def guarded(self, work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            self.errors.append(error)

    def client(self, number: int) -> None:
        row = number + 1
        for _ in range(self.reads[number]):
            with Session(self.databases) as session:
                session.execute(update(Counter).where(Counter.id == row).values(value=Counter.value + 1))
                written = session.scalars(select(Counter.value).where(Counter.id == row)).one()
                session.commit()
                after = session.position if self.positions else None
            with Session(self.databases, role="replica", after=after) as session:
                seen = session.scalars(select(Counter.value).where(Counter.id == row)).one()
            if seen < written:
                with self.lock:
                    self.stale += 1

    def fill(self, _: int) -> None:
        while not self.over.wait(0.2):
            with Session(self.databases) as session:
                rows = [{"value": number} for number in range(100)]
                session.execute(insert(Counter), rows)
                session.commit()


def prepare(databases: Databases, clients: int) -> None:
    Base.metadata.drop_all(databases.engine())
    databases.create_all()
    with Session(databases) as session:
        session.add_all([Counter(id=number + 1, value=0) for number in range(clients)])
        session.add(Counter(id=MADE_UP, value=0))
        session.commit()
    if databases.engine().dialect.name == "postgresql":
        with databases.engine().begin() as connection:
            connection.exec_driver_sql("SELECT setval('counters_id_seq', 1000001)")


def torture(servers: Replicated, settings: list[Setting], reads: int, clients: int) -> bool:
    """Whether none was stale."""
    fine = True
    pair = Pair(servers, servers.primary.create_database())
    for setting in settings:
        for positions in (True, False):
            databases = declare(pair)
            prepare(databases, clients)
            servers.wait()
            databases.replicas["shop"].served = Tally()
            count = int(reads * setting.share) if positions else max(100, int(reads * setting.share * 0.02))
            run, started = Run(databases, count, clients, positions=positions), time.monotonic()
            with setting.where(servers, databases):
                run.run()
            seconds = time.monotonic() - started
            served = databases.replicas["shop"].served
            left = ", ".join(
                f"{state} {times}x" for state, times in databases.replicas["shop"].replicas[0].left.items()
            )
            databases.dispose()
            who = ", ".join(f"{name} {100 * times / count:.1f}%" for name, times in served.most_common())
            told = "with" if positions else "WITHOUT"
            print(
                f"{setting.name:28} {told:>7} positions: {count:6} reads, {run.stale:5} stale, "
                f"{len(run.errors)} errors, {seconds:4.0f} s; served by {who}" + (f"; out: {left}" if left else ""),
                flush=True,
            )
            for error in run.errors[:3]:
                print(f"  {type(error).__name__}: {error}")
            fine = fine and not run.errors and not (positions and run.stale)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--only", default="", help="the settings whose name has this in it")
    given = parser.parse_args()
    fine = True
    starts: list[tuple[Callable[[], Streaming | ByGtid], list[Setting]]] = [
        (start_postgresql, POSTGRESQL),
        (start_mariadb, MARIADB),
    ]
    for start, settings in starts:
        asked = [each for each in settings if given.only in each.name]
        servers = start()
        try:
            fine = torture(servers, asked, given.reads, given.clients) and fine
        finally:
            servers.close()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
