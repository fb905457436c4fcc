"""The example application under many requests at once that each select over two of its databases."""

import asyncio
import gc
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from examples.shop.app import app
from examples.shop.databases import databases
from examples.shop.embedded import sqlite_files
from examples.shop.routes.reports import best_buyers
from examples.shop.schemas import Buyer
from examples.shop.seed import create_and_seed
from examples.shop.sessions import SyncSessionDep
from manybase import AsyncSession, Session
from manybase.federation.execution import Execution
from tests.sessions import assert_idle

pytestmark = pytest.mark.once

REQUESTS = 200
BYTES = 10_000_000  # that the second time takes more at most
ROUTES = {"async": "/reports/buyers", "sync": "/sync/buyers"}


@pytest.fixture
def seeded(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """The databases of the shop with their first rows; the best buyers of them."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in (variable for database in databases for variable in database.environment_variables):
            patch.delenv(variable, raising=False)
        patch.setattr(databases, "pool_timeout", 60.0)  # on a busy machine some would be told 503
        with sqlite_files(tmp_path, keep=False):
            create_and_seed()
            with Session(databases) as session:
                rows = session.execute(best_buyers()).all()
            databases.dispose()
            yield [{"name": name, "orders": orders, "spent_cents": cents} for name, orders, cents in rows]
            databases.dispose()


def with_sync_route() -> FastAPI:
    """The application, and its join once more in a route that is no coroutine."""
    both = FastAPI(lifespan=app.router.lifespan_context)

    @both.get(ROUTES["sync"])
    def report_buyers(session: SyncSessionDep) -> list[Buyer]:
        return [
            Buyer(name=name, orders=orders, spent_cents=cents) for name, orders, cents in session.execute(best_buyers())
        ]

    both.mount("", app)
    return both


async def answers(client: httpx2.AsyncClient, path: str) -> Counter[str]:
    """What so many requests at once were told, and how often."""
    found = await asyncio.gather(*(client.get(path) for _ in range(REQUESTS)))
    return Counter(f"{answer.status_code} {answer.json()}" for answer in found)


def alive() -> Counter[str]:
    """Sessions and runs of plans that something still refers to."""
    gc.collect()
    kinds = (Session, AsyncSession, Execution, asyncio.Task)
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))


def resident() -> int:
    """The most memory that this process has had so far."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


@pytest.mark.parametrize("route", ROUTES)
def test_many_joins_at_once(seeded: list[dict[str, Any]], route: str) -> None:
    """Each answer is right, memory is bounded, and when all have ended nothing of them is left."""

    async def main() -> None:
        both = with_sync_route()
        transport = httpx2.ASGITransport(both)
        async with (
            both.router.lifespan_context(both),
            httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
        ):
            await answers(client, ROUTES[route])  # pools are full, statements are compiled
            before, files = alive(), open_files()
            most = resident()
            told = await answers(client, ROUTES[route])

            assert Counter({f"200 {seeded}": REQUESTS}) == told
            assert resident() - most < BYTES
            assert_idle(databases, asyncio=route == "async")
            assert before == alive()
            assert open_files() <= files

    assert len(seeded) > 3
    asyncio.run(main())
