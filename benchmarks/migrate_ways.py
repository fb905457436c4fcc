"""The ways that ``benchmarks/migrate.py`` compares: programs as somebody would write them, with the same revisions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import migrate_dbwarden

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
DECLARED = """
from pathlib import Path

from manybase import Database, Databases

urls = Path("urls").read_text().splitlines()
databases = Databases(*[Database(f"db{number}", url, migrations="history") for number, url in enumerate(urls)])
"""
IN_PROGRAM = """
from declared import databases
from manybase.migrations import upgrade

upgrade(databases, jobs={jobs})
"""
Command = list[str]


@dataclass(frozen=True)
class Way:
    """``prepare`` writes into a folder what migrates the databases at these URLs, and returns what is to be run there.

    ``versions`` asks a database what has been applied, and ``applied`` is what it should answer.
    """

    prepare: Callable[[Path, list[str]], list[Command]]
    versions: str = "SELECT version_num FROM alembic_version"
    applied: tuple[str, ...] = (f"r{REVISIONS}",)


def with_command(folder: Path, urls: list[str], *, jobs: int) -> list[Command]:
    write_history(folder, urls)
    (folder / "declared.py").write_text(DECLARED)
    upgrade = ["upgrade", "--app", "declared:databases", "--jobs", str(jobs)]
    return [[sys.executable, "-m", "manybase.cli", *upgrade]]


def with_program(folder: Path, urls: list[str], *, jobs: int) -> list[Command]:
    with_command(folder, urls, jobs=jobs)
    (folder / "program.py").write_text(IN_PROGRAM.format(jobs=jobs))
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
        f"manybase upgrade --jobs {jobs}": Way(partial(with_command, jobs=jobs)),
        f"manybase.migrations.upgrade(jobs={jobs})": Way(partial(with_program, jobs=jobs)),
        "a loop of alembic upgrade head": Way(with_processes),
        "Alembic's commands in one process": Way(with_one_process),
    }
    if dbwarden is not None:
        every = tuple(f"{number:04}" for number in range(1, REVISIONS + 1))
        for options in ([], ["--defer-snapshots"]):
            prepare = partial(migrate_dbwarden.prepare, program=dbwarden, revisions=REVISIONS, options=options)
            name = " ".join(["dbwarden migrate --all", *options])
            found[name] = Way(prepare, "SELECT version FROM _dbwarden_migrations", every)
    return found
