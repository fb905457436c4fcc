"""What it costs to migrate many databases: five revisions, each a table and an index, start-up of processes included.

    python benchmarks/migrate.py [--rounds 3] [--sqlite 100] [--postgresql 20] [--jobs 8] [--dbwarden]

In each round every way migrates fresh databases, in turn; then each of them is looked at, whether it has all it should.
Printed are the medians, and the median of the ratios to manybase in the same round. CPU time is that of the processes
that migrate, not of the server. ``--dbwarden`` fetches DBWarden from PyPI into an environment that is thrown away.
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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine, inspect, make_url, text

from benchmarks import migrate_dbwarden
from tests.servers.server import Server
from tests.servers.startup import Startup

REVISIONS = 5
REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = {revision!r}, {down!r}


def upgrade():
    op.create_table("t{number}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50)))
    op.create_index("ix_t{number}_name", "t{number}", ["name"])


def downgrade():
    op.drop_table("t{number}")
"""
ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.get_x_argument(as_dictionary=True)["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
IN_TURN = """
from argparse import Namespace
from pathlib import Path

from alembic import command
from alembic.config import Config

for url in Path("urls").read_text().splitlines():
    command.upgrade(Config("alembic.ini", cmd_opts=Namespace(x=[f"url={url}"])), "head")
"""
MANYBASE = """
from pathlib import Path

from manybase import Database, Databases
from manybase.migrations import upgrade

urls = Path("urls").read_text().splitlines()
declared = [Database(f"db{{number}}", url, migrations="history") for number, url in enumerate(urls)]
upgrade(Databases(*declared), jobs={jobs})
"""
Command = list[str]
Fresh = Callable[[int, Path], AbstractContextManager[list[URL]]]


@dataclass(frozen=True)
class Way:
    """``prepare`` writes into a folder what migrates the databases at these URLs, and returns what is to be run there.

    ``versions`` asks a database what has been applied, and ``applied`` is what it should answer.
    """

    prepare: Callable[[Path, list[str]], list[Command]]
    versions: str = "SELECT version_num FROM alembic_version"
    applied: tuple[str, ...] = (f"r{REVISIONS}",)


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of CPU."""

    wall: float
    cpu: float


def with_manybase(folder: Path, urls: list[str], *, jobs: int) -> list[Command]:
    write_history(folder, urls)
    (folder / "program.py").write_text(MANYBASE.format(jobs=jobs))
    return [[sys.executable, "program.py"]]


def with_processes(folder: Path, urls: list[str]) -> list[Command]:
    write_alembic(folder, urls)
    return [[sys.executable, "-m", "alembic", "-x", f"url={url}", "upgrade", "head"] for url in urls]


def with_one_process(folder: Path, urls: list[str]) -> list[Command]:
    write_alembic(folder, urls)
    (folder / "program.py").write_text(IN_TURN)
    return [[sys.executable, "program.py"]]


def write_alembic(folder: Path, urls: list[str]) -> None:
    write_history(folder, urls)
    (folder / "history" / "env.py").write_text(ENVIRONMENT)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = history\n")


def write_history(folder: Path, urls: list[str]) -> None:
    versions = folder / "history" / "versions"
    versions.mkdir(parents=True)
    for number in range(1, REVISIONS + 1):
        down = f"r{number - 1}" if number > 1 else None
        path = versions / f"r{number}.py"
        path.write_text(REVISION.format(revision=f"r{number}", down=down, number=number))
    (folder / "urls").write_text("\n".join(urls))


def ways(jobs: int, dbwarden: Path | None) -> dict[str, Way]:
    found = {
        f"manybase, {jobs} jobs": Way(partial(with_manybase, jobs=jobs)),
        "a loop of alembic upgrade head": Way(with_processes),
        "Alembic's commands in one process": Way(with_one_process),
    }
    every = tuple(f"{number:04}" for number in range(1, REVISIONS + 1))
    for option in ("", "--defer-snapshots") if dbwarden else ():
        prepare = partial(
            migrate_dbwarden.prepare, program=dbwarden, revisions=REVISIONS, options=[option] if option else []
        )
        name = f"dbwarden migrate --all {option}".strip()
        found[name] = Way(prepare, "SELECT version FROM _dbwarden_migrations", every)
    return found


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


def migrated(way: Way, fresh: Fresh, count: int) -> tuple[Cost, Cost]:
    """What it costs that way to migrate fresh databases, and to do so again where nothing is to be done."""
    with tempfile.TemporaryDirectory() as place, fresh(count, Path(place)) as urls:
        commands = way.prepare(Path(place), [url.render_as_string(hide_password=False) for url in urls])
        first = cost(commands, Path(place))
        for url in urls:
            check(url, way)
        return first, cost(commands, Path(place)) if len(commands) == 1 else first


def cost(commands: list[Command], folder: Path) -> Cost:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
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
    ours = next(iter(every))
    again: list[Cost] = []
    for way in every.values():
        migrated(way, fresh, 1)  # files that are read for the first time today
    for round_ in range(rounds):
        start = round_ % len(every)
        for name in [*every][start:] + [*every][:start]:
            first, second = migrated(every[name], fresh, count)
            costs[name].append(first)
            print(f"round {round_ + 1}, {count} {title}, {name}: {first}", file=sys.stderr, flush=True)
            if name == ours:
                again.append(second)
    print(f"\n{count} {title}, {REVISIONS} revisions each: median of {rounds} rounds; load average {load()}")
    costs[f"{ours}, nothing to do"] = again
    for name, each in costs.items():
        wall, cpu = ([getattr(cost, kind) for cost in each] for kind in ("wall", "cpu"))
        by_wall, by_cpu = (
            statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(each, costs[ours], strict=True))
            for kind in ("wall", "cpu")
        )
        print(
            f"  {name:40}{statistics.median(wall):8.2f} s, ratio {by_wall:5.1f}"
            f"{statistics.median(cpu):10.2f} s of CPU, ratio {by_cpu:5.1f}",
            flush=True,
        )


def load() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


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
