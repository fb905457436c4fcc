"""More requests than connections: they wait for a bounded time, without holding anything that others need."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Event
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.serving import Serving, eventually, serve
from tests.shop import Entry, User, in_files

SIZE = 2
TIMEOUT = 0.5
BOUND = 3.0  # seconds, for a machine that is busy with other things
PATHS = ["/async", "/async/audit", "/sync", "/sync/audit", "/streaming", "/streaming/audit"]


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Databases with two connections each."""
    databases = in_files(
        tmp_path,
        pool_timeout=getattr(request, "param", TIMEOUT),
        engine_options={"pool_size": SIZE, "max_overflow": 0, "connect_args": {"timeout": 30}},
    )
    databases.create_all()
    yield databases
    databases.dispose()


class Holding:
    """Routes that keep their connection until they are released, and count how many do."""

    def __init__(self) -> None:
        self.released = Event()
        self.count = 0

    async def hold(self, session: AsyncSession) -> None:
        await session.scalars(select(Entry))
        self.count += 1
        while not self.released.is_set():
            await asyncio.sleep(0.01)

    def hold_sync(self, session: Session) -> None:
        session.scalars(select(Entry))
        self.count += 1
        self.released.wait(30)


@pytest.fixture
def holding() -> Iterator[Holding]:
    holding = Holding()
    yield holding
    holding.released.set()


@pytest.fixture
def serving(small: Databases, holding: Holding) -> Iterator[Serving]:
    app = FastAPI(lifespan=lifespan(small))
    for suffix, database in (("", None), ("/audit", "audit")):
        add_routes(app, small, holding, suffix, database)

    @app.get("/ping")
    def ping() -> str:
        return "pong"

    @app.get("/ping/async")
    async def ping_async() -> str:
        return "pong"

    @app.get("/shop")
    async def shop(session: Annotated[AsyncSession, session_dependency(small, database="shop")]) -> int:
        return len((await session.scalars(select(User))).all())

    with serve(app) as serving:
        yield serving
        holding.released.set()


def add_routes(app: FastAPI, databases: Databases, holding: Holding, suffix: str, database: Any) -> None:
    @app.get(f"/async{suffix}")
    async def hold(session: Annotated[AsyncSession, session_dependency(databases, database=database)]) -> str:
        await holding.hold(session)
        return "held"

    @app.get(f"/streaming{suffix}")
    async def stream(session: Annotated[AsyncSession, streaming_dependency(databases, database=database)]) -> str:
        await holding.hold(session)
        return "held"

    @app.get(f"/sync{suffix}", response_model=str)
    def hold_sync(session: Annotated[Session, sync_session_dependency(databases, database=database)]) -> str:
        holding.hold_sync(session)
        return "held"


def get(serving: Serving, path: str) -> tuple[httpx2.Response, float]:
    """The response, and after how many seconds it came."""
    with serving.client() as client:
        begun = time.monotonic()
        response = client.get(path)
        return response, time.monotonic() - begun


@pytest.mark.parametrize("path", PATHS)
def test_full_pool(serving: Serving, small: Databases, holding: Holding, path: str) -> None:
    """One request too many gets a 503 that says when to come again, in bounded time; later ones are served."""
    with ThreadPoolExecutor(SIZE) as others:
        held = [others.submit(get, serving, path) for _ in range(SIZE)]
        eventually(lambda: holding.count == SIZE)
        refused, seconds = get(serving, path)
        holding.released.set()
        served = [each.result()[0].json() for each in held]
    after, _ = get(serving, path)
    serving.assert_idle(small)

    assert (503, "1") == (refused.status_code, refused.headers.get("retry-after"))
    assert "application/problem+json" == refused.headers["content-type"]
    assert {"detail": "The database is busy. Nothing was changed; try again."} == refused.json()
    assert TIMEOUT * 0.8 < seconds < BOUND
    assert ["held"] * SIZE == served
    assert 200 == after.status_code


@pytest.mark.parametrize("path", PATHS)
def test_sixty_waiting_requests(serving: Serving, small: Databases, holding: Holding, path: str) -> None:
    """More of them than FastAPI has threads: other routes answer as if nobody waited, and none waits for ever."""
    with ThreadPoolExecutor(60) as others:
        waiting = [others.submit(get, serving, path) for _ in range(60)]
        eventually(lambda: holding.count == SIZE)
        time.sleep(0.1)
        pings = [get(serving, each) for each in ("/ping", "/ping/async") * 3]
        assert sum(each.done() for each in waiting) < 60
        holding_on = [each for each in waiting if not each.done()]
        eventually(lambda: sum(each.done() for each in holding_on) >= len(holding_on) - SIZE)
        holding.released.set()
        statuses = [each.result()[0].status_code for each in waiting]
    serving.assert_idle(small)

    assert ["pong"] * 6 == [response.json() for response, _ in pings]
    assert median(seconds for _, seconds in pings) < 0.4
    assert {200, 503} == set(statuses)
    assert SIZE == statuses.count(200)


@pytest.mark.parametrize("small", [10 * BOUND], indirect=True)
def test_other_databases_meanwhile(serving: Serving, small: Databases, holding: Holding) -> None:
    """A request that needs only another database is served: a full pool is full for those who need it."""
    with ThreadPoolExecutor(20) as others:
        waiting = [others.submit(get, serving, path) for path in ("/async/audit", "/sync/audit") * 10]
        eventually(lambda: holding.count == 2 * SIZE)
        response, seconds = get(serving, "/shop")
        holding.released.set()
        for each in waiting:
            each.result()
    serving.assert_idle(small)

    assert (200, 0) == (response.status_code, response.json())
    assert seconds < BOUND
