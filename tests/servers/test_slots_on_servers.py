"""Small pools over PostgreSQL and MariaDB, under sessions that touch them in opposite order."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import URL, text

from manybase import AsyncSession, Database, Databases, Session
from tests.servers.mixed import DRIVERS, Drivers, Urls
from tests.sessions import assert_idle

SMALL = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 30}
ONE = text("SELECT 1")


@pytest.fixture(params=DRIVERS, ids=str)
def drivers(request: pytest.FixtureRequest) -> Drivers:
    found: Drivers = request.param
    return found


@pytest.fixture
def small(drivers: Drivers, postgresql_url: URL, mariadb_url: URL) -> Databases:
    """Two connections to each server."""
    urls = Urls(drivers, {"postgresql": postgresql_url, "mariadb": mariadb_url})
    declared = [Database(name, urls[name]) for name in ("postgresql", "mariadb")]
    return Databases(*declared, engine_options=SMALL, pool_timeout=30)


def ways(number: int) -> list[str]:
    return ["postgresql", "mariadb"] if number % 2 else ["mariadb", "postgresql"]


def in_threads(databases: Databases) -> list[Any]:
    """What 200 sessions in 40 threads return; every tenth raises."""

    def work(number: int) -> Any:
        try:
            with Session(databases) as session:
                for name in ways(number):
                    session.execute(ONE, bind_arguments={"database": name})
                    time.sleep(0.001)
                return 1 / (number % 10)
        except ZeroDivisionError as error:
            return error

    with ThreadPoolExecutor(40) as threads:
        results = list(threads.map(work, range(200)))
    assert_idle(databases, asyncio=False)
    databases.dispose()
    return results


async def in_tasks(databases: Databases) -> list[Any]:
    """What 200 sessions in 200 tasks return; every tenth raises, every seventh is cancelled wherever it is."""

    async def work(number: int) -> Any:
        async with AsyncSession(databases) as session:
            for name in ways(number):
                await session.execute(ONE, bind_arguments={"database": name})
                await asyncio.sleep(0.001)
            return 1 / (number % 10)

    tasks = [asyncio.create_task(work(number)) for number in range(200)]
    for task in tasks[::7]:
        await asyncio.sleep(0.002)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert_idle(databases, asyncio=True)
    await databases.adispose()
    return results


def test_sessions_in_opposite_order(drivers: Drivers, small: Databases) -> None:
    """None waits for ever or fails for want of a connection, though some raise and some are cancelled."""
    results = asyncio.run(in_tasks(small)) if drivers.kind.asyncio else in_threads(small)

    kinds = {type(result) for result in results}
    assert {float, ZeroDivisionError} <= kinds <= {float, ZeroDivisionError, asyncio.CancelledError}
    assert 140 <= sum(isinstance(result, float) for result in results)
