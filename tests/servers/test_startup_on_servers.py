"""Several processes of one application that start at once, over PostgreSQL, MariaDB and a SQLite file."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine

from manybase import Database, Databases
from manybase.errors import PendingMigrations
from manybase.fastapi import running
from manybase.fastapi.startup import Migrations
from tests.revisions import SYNC, tables_at, write_history
from tests.servers.mixed import Drivers, Urls, every_driver

pytestmark = pytest.mark.once

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


@every_driver
def test_require(drivers: Drivers, urls: dict[str, URL], folder: Path) -> None:
    """The application does not start, and nothing is written."""
    through = Urls(drivers, urls)
    databases = Databases(*(Database(name, through[name]) for name in urls), migrations=folder)

    with pytest.raises(PendingMigrations, match="postgresql: 3 revisions; mariadb: 3 revisions; sqlite: 3 revisions"):
        asyncio.run(enter(databases, "require"))
    assert [[]] * 3 == [tables_at(url) for url in urls.values()]


@every_driver
def test_several_processes(drivers: Drivers, urls: dict[str, URL], folder: Path) -> None:
    """Each database is upgraded once, and all processes start."""
    through = Urls(drivers, urls)
    databases = Databases(*(Database(name, through[name]) for name in urls), migrations=folder)

    ended = started_at_once(databases, "upgrade")

    assert ["started"] * PROCESSES == ended
    for url in urls.values():
        engine = create_engine(url.set(drivername=SYNC[url.get_backend_name()]), poolclass=NullPool)
        with engine.connect() as connection:
            assert 3 == connection.exec_driver_sql("SELECT count(*) FROM times").scalar()
    asyncio.run(enter(databases, "require"))


async def enter(databases: Databases, migrations: Migrations) -> None:
    async with running(databases, migrations=migrations):
        pass


def started_at_once(databases: Databases, migrations: Migrations) -> list[str]:
    """What processes say that start at the same time."""
    texts = [f"{each.name}={each.resolve_url().render_as_string(hide_password=False)}" for each in databases]
    command = [sys.executable, "-W", "error", "-c", PROGRAM, databases.migrations, migrations, *texts]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    return [each.communicate(timeout=60)[0].strip() for each in processes]
