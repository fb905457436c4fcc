"""What it costs to migrate many databases: five revisions, each a table and an index, start-up of processes included.

    python benchmarks/migrate.py [--rounds 3] [--sqlite 100] [--postgresql 20] [--jobs 8] [--dbwarden]

In each round every way migrates fresh databases, in turn; then each of them is looked at, whether it has all it should.
Printed are the medians, and the median of the ratios to manybase's command in the same round. CPU time is that of the
processes that migrate, not of the server. ``--dbwarden`` fetches DBWarden from PyPI into an environment that is thrown
away.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine, inspect, make_url, text

from benchmarks import migrate_dbwarden
from benchmarks.migrate_ways import REVISIONS, Command, Way, ways
from tests.servers.server import Server
from tests.servers.startup import Startup

# Programs find what they import where it is installed, and compiled; else Python's compiler takes most of the time.
UNUSUAL = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
Fresh = Callable[[int, Path], AbstractContextManager[list[URL]]]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of CPU."""

    wall: float
    cpu: float


@contextmanager
def sqlite_files(count: int, folder: Path) -> Iterator[list[URL]]:
    yield [make_url(f"sqlite:///{folder / f'{number}.sqlite'}") for number in range(count)]


@contextmanager
def on_server(count: int, _: Path, *, server: Server) -> Iterator[list[URL]]:
    urls = [server.create_database().set(drivername="postgresql+psycopg") for _ in range(count)]
    try:
        yield urls
    finally:
        for url in urls:
            server.drop_database(url)


def migrated(way: Way, fresh: Fresh, count: int) -> tuple[Cost, Cost | None]:
    """What it costs that way to migrate fresh databases, and, if it is one process, another one with nothing to do."""
    with tempfile.TemporaryDirectory() as place, fresh(count, Path(place)) as urls:
        commands = way.prepare(Path(place), [url.render_as_string(hide_password=False) for url in urls])
        first = cost(commands, Path(place))
        for url in urls:
            check(url, way)
        return first, cost(commands, Path(place)) if len(commands) == 1 else None


def cost(commands: list[Command], folder: Path) -> Cost:
    environment = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands:
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"{command[:3]} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def check(url: URL, way: Way) -> None:
    """All is there, or what was measured is worth nothing."""
    wanted = {f"t{number}": [f"ix_t{number}_name"] for number in range(1, REVISIONS + 1)}
    with create_engine(url, poolclass=NullPool).connect() as connection:
        applied = tuple(sorted(connection.execute(text(way.versions)).scalars()))
        inspector = inspect(connection)
        there = set(wanted) & set(inspector.get_table_names())
        found = {table: [str(index["name"]) for index in inspector.get_indexes(table)] for table in there}
    if applied != way.applied or found != wanted:
        raise RuntimeError(f"{url!r} is at {applied} with {found}, not at {way.applied} with {wanted}.")


def measure(title: str, every: dict[str, Way], fresh: Fresh, count: int, rounds: int) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in every}
    again: dict[str, list[Cost]] = {}
    for way in every.values():
        migrated(way, fresh, 2)  # files that are read for the first time today
    for round_ in range(rounds):
        start = round_ % len(every)
        for name in [*every][start:] + [*every][:start]:
            first, second = migrated(every[name], fresh, count)
            costs[name].append(first)
            if second is not None:
                again.setdefault(name, []).append(second)
            print(f"  {title}, round {round_ + 1}, {name}: {first}, again {second}", file=sys.stderr, flush=True)
    loads = " ".join(f"{each:.1f}" for each in os.getloadavg())
    show(f"{count} {title}, {REVISIONS} revisions each: median of {rounds} rounds, load average {loads}", costs, every)
    show("Nothing to do", again, every)


def show(title: str, costs: dict[str, list[Cost]], order: Iterable[str]) -> None:
    """The first in the order is what the others are compared with."""
    names = [name for name in order if name in costs]
    base = costs[names[0]]
    print(f"\n{title}")
    for name in names:
        walls, cpus = [each.wall for each in costs[name]], [each.cpu for each in costs[name]]
        by_wall = statistics.median(mine / theirs.wall for mine, theirs in zip(walls, base, strict=True))
        by_cpu = statistics.median(mine / theirs.cpu for mine, theirs in zip(cpus, base, strict=True))
        took = f"{statistics.median(walls):8.2f} s, ratio {by_wall:5.1f}"
        print(f"  {name:42}{took}{statistics.median(cpus):9.2f} s of CPU, ratio {by_cpu:5.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sqlite", type=int, default=100)
    parser.add_argument("--postgresql", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--dbwarden", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        dbwarden = migrate_dbwarden.install(Path(place)) if options.dbwarden else None
        if options.dbwarden and dbwarden is None:
            print(f"DBWarden {migrate_dbwarden.VERSION} cannot be installed here: left out.")
        every = ways(options.jobs, dbwarden)
        if options.sqlite:
            measure("SQLite files", every, sqlite_files, options.sqlite, options.rounds)
        if options.postgresql:
            startup = Startup(["postgresql"])
            try:
                fresh = partial(on_server, server=startup.server("postgresql"))
                measure("PostgreSQL databases", every, fresh, options.postgresql, options.rounds)
            finally:
                startup.close()


if __name__ == "__main__":
    main()
