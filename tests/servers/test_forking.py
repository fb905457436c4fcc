"""A fork beside open connections to a real server: the child must not speak over its parent's sockets."""

import asyncio
import gc
import os
from typing import Any

import pytest
from sqlalchemy import URL, text

from manybase import Database, Databases
from tests.forks import in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork."),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
DRIVERS = [
    ("postgresql", "postgresql+psycopg"),
    ("postgresql", "postgresql+psycopg2"),
    ("mariadb", "mysql+pymysql"),
    ("mariadb", "mysql+mysqlconnector"),
]
ASYNC_DRIVERS = [
    ("postgresql", "postgresql+asyncpg"),
    ("postgresql", "postgresql+psycopg"),
    ("mariadb", "mysql+asyncmy"),
    ("mariadb", "mysql+aiomysql"),
]
SESSION = {"postgresql": text("SELECT pg_backend_pid()"), "mariadb": text("SELECT connection_id()")}


@pytest.fixture
def declared(request: pytest.FixtureRequest) -> tuple[str, Databases]:
    server, driver = request.param
    url: URL = request.getfixturevalue(f"{server}_url")
    return server, Databases(Database("shop", url.set(drivername=driver)))


def cases(drivers: list[tuple[str, str]]) -> Any:
    marks = {name: [getattr(pytest.mark, name), pytest.mark.server] for name in ("postgresql", "mariadb")}
    return pytest.mark.parametrize(
        "declared", [pytest.param(each, id=each[1], marks=marks[each[0]]) for each in drivers], indirect=True
    )


@cases(DRIVERS)
def test_sync_engine(declared: tuple[str, Databases]) -> None:
    """The child opens a connection of its own, and the parent goes on with its own."""
    server, databases = declared

    def ask() -> int:
        with databases.engine().connect() as connection:
            return int(connection.execute(SESSION[server]).scalar_one())

    mine = ask()
    child = int(in_child(lambda: (ask(), gc.collect())[0]))  # what is finalized could speak over the parent's socket

    assert child != mine
    assert mine == ask()
    databases.dispose()


@cases(ASYNC_DRIVERS)
def test_async_engine(declared: tuple[str, Databases]) -> None:
    """The child's own event loop has its own connections; the parent's loop goes on with its own."""
    server, databases = declared

    async def ask() -> int:
        async with databases.async_engine().connect() as connection:
            return int((await connection.execute(SESSION[server])).scalar_one())

    with asyncio.Runner() as runner:
        mine = runner.run(ask())
        child = int(in_child(lambda: (asyncio.run(ask()), gc.collect())[0]))

        assert child != mine
        assert mine == runner.run(ask())
        runner.run(databases.adispose())
