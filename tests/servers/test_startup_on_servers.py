"""Several processes of one application that start at once, over PostgreSQL, MariaDB and a SQLite file."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine

from manybase import Database, Databases
from manybase.errors import PendingMigrations
from manybase.migrations import require
from tests.revisions import SYNC, tables_at, write_history
from tests.servers.mixed import Drivers, Urls, every_driver

PROCESSES = 3
# Long enough for another one to come in between.
COUNTED = """
import time
if op.get_bind().dialect.has_table(op.get_bind(), "times"):
    time.sleep(0.2)
else:
    op.create_table("times", sa.Column("taken", sa.Integer))
op.execute("INSERT INTO times (taken) VALUES (1)")
"""
PROGRAM = """
import asyncio, sys
from sqlalchemy import URL
from manybase import Database, Databases, ManybaseError
from manybase.fastapi import running

async def start(databases):
    async with running(databases, migrations=sys.argv[2]):
        return "started"

databases = Databases(*(Database(*each.split("=", 1)) for each in sys.argv[3:]), migrations=sys.argv[1])
import manybase.migrations
print("ready", flush=True)
sys.stdin.readline()
try:
    print(asyncio.run(start(databases)))
except ManybaseError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def urls(postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> dict[str, URL]:
    return {"postgresql": postgresql_url, "mariadb": mariadb_url, "sqlite": sqlite_url}


@pytest.fixture
def folder(tmp_path: Path, urls: dict[str, URL]) -> Path:
    for name in urls:
        write_history(tmp_path / "migrations" / name, "first", "second", "third", before=COUNTED)
    return tmp_path / "migrations"


@pytest.fixture
def start(urls: dict[str, URL], folder: Path) -> Callable[[Drivers, str], list[str]]:
    """How processes that start at the same time end."""

    def start(drivers: Drivers, migrations: str) -> list[str]:
        through = Urls(drivers, urls)
        texts = [f"{name}={through[name].render_as_string(hide_password=False)}" for name in urls]
        command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder), migrations, *texts]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        for each in processes:
            assert each.stdout is not None
            assert "ready\n" == each.stdout.readline()
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        return [each.communicate(timeout=60)[0].strip() for each in processes]

    return start


@every_driver
def test_several_processes(
    drivers: Drivers, start: Callable[[Drivers, str], list[str]], urls: dict[str, URL], folder: Path
) -> None:
    """Each database is upgraded once, and all processes start."""
    ended = start(drivers, "upgrade")

    assert ["started"] * PROCESSES == ended
    for url in urls.values():
        engine = create_engine(url.set(drivername=SYNC[url.get_backend_name()]), poolclass=NullPool)
        with engine.connect() as connection:
            assert 3 == connection.exec_driver_sql("SELECT count(*) FROM times").scalar()
    assert ["started"] * PROCESSES == start(drivers, "require")


@every_driver
def test_require(
    drivers: Drivers, start: Callable[[Drivers, str], list[str]], urls: dict[str, URL], folder: Path
) -> None:
    """None starts, and nothing is written."""
    assert ["PendingMigrations"] * PROCESSES == start(drivers, "require")
    assert [[]] * 3 == [tables_at(url) for url in urls.values()]
    through = Urls(drivers, urls)
    databases = Databases(*(Database(name, through[name]) for name in urls), migrations=folder)
    with pytest.raises(PendingMigrations, match="postgresql: 3 revisions; mariadb: 3 revisions; sqlite: 3 revisions"):
        require(databases)
