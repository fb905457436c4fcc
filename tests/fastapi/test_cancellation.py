"""Cancelled requests: a commit that has begun is finished, everything else is rolled back and leaves nothing behind."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.fastapi.serving import Serving, idle, serve
from tests.fastapi.slow import slow_commits
from tests.shop import Event, User

PATHS = ["/async", "/sync"]


def application(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))

    @app.post("/async")
    async def write(session: Annotated[AsyncSession, session_dependency(databases)]) -> str:
        session.add_all([User(name="ann"), Event(kind="view")])
        return "written"

    @app.post("/sync")
    def write_sync(session: Annotated[Session, sync_session_dependency(databases)]) -> str:
        session.add_all([User(name="ann"), Event(kind="view")])
        return "written"

    return app


def request(app: FastAPI, method: str, path: str) -> "asyncio.Task[httpx2.Response]":
    """A request in a task of its own, that a test can cancel."""

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.create_task(send())


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.01)


def written(databases: Databases) -> list[int]:
    return [len(rows(databases, "shop", "users")), len(rows(databases, "analytics", "events"))]


@pytest.mark.anyio
@pytest.mark.parametrize("path", PATHS)
async def test_cancelled_during_the_commit(databases: Databases, path: str) -> None:
    """Both databases are committed, and only then the task is cancelled."""
    with slow_commits(0.3) as begun:
        task = request(application(databases), "POST", path)
        await until(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert [1, 1] == written(databases)
    await idle(databases)
    await databases.adispose()


@pytest.mark.anyio
@pytest.mark.parametrize("path", PATHS)
async def test_cancelled_again_and_again_during_the_commit(databases: Databases, path: str) -> None:
    """Patience: no number of cancellations tears it."""
    with slow_commits(0.3) as begun:
        task = request(application(databases), "POST", path)
        await until(begun.is_set)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.02)
        with pytest.raises(asyncio.CancelledError):
            await task

        assert [1, 1] == written(databases)
    await idle(databases)
    await databases.adispose()


class TimeoutByAsyncio:
    """A middleware that answers 504 when a request takes too long."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.within_time(self.app(scope, receive, send))
        except TimeoutError:
            await send({"type": "http.response.start", "status": 504, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def within_time(self, work: Awaitable[None]) -> None:
        async with asyncio.timeout(0.2):
            await work


class TimeoutByAnyio(TimeoutByAsyncio):
    async def within_time(self, work: Awaitable[None]) -> None:
        with anyio.fail_after(0.2):
            await work


@pytest.mark.anyio
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("middleware", [TimeoutByAsyncio, TimeoutByAnyio])
async def test_timeout_middleware_during_the_commit(databases: Databases, path: str, middleware: Any) -> None:
    """The commit that has begun is finished, although the client gets a 504: the middleware's answer, not ours."""
    app = application(databases)
    app.add_middleware(middleware)
    with slow_commits(0.5):
        response = await request(app, "POST", path)

        assert 504 == response.status_code
        assert [1, 1] == written(databases)
    await idle(databases)
    await databases.adispose()


@pytest.mark.anyio
@pytest.mark.parametrize("dependency", [session_dependency, streaming_dependency])
async def test_cancelled_in_the_route(databases: Databases, dependency: Any) -> None:
    """It is rolled back, and its connections are back in their pools."""
    app = FastAPI()
    begun = asyncio.Event()

    @app.post("/")
    async def write(session: Annotated[AsyncSession, dependency(databases)]) -> None:
        await session.execute(select(User))
        if dependency is session_dependency:
            session.add_all([User(name="ann"), Event(kind="view")])
            await session.flush()
        begun.set()
        await asyncio.sleep(30)

    task = request(app, "POST", "/")
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [0, 0] == written(databases)
    await idle(databases)
    await databases.adispose()


@pytest.mark.anyio
async def test_cancelled_while_its_thread_runs(databases: Databases) -> None:
    """Nothing can stop the thread of a `def` route: the session is its own until it ends, then rolled back."""
    app = FastAPI()
    begun, ended = threading.Event(), threading.Event()

    @app.post("/")
    def write(session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        session.add_all([User(name="ann"), Event(kind="view")])
        session.flush()
        begun.set()
        time.sleep(0.3)
        assert 1 == len(session.scalars(select(User)).all())
        ended.set()

    task = request(app, "POST", "/")
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert [0, 0] == written(databases)
    await idle(databases)
    await databases.adispose()


@pytest.mark.anyio
async def test_cancelled_while_it_waits_for_a_slot(databases: Databases) -> None:
    """It leaves the queue and takes nothing with it; the next request is served."""
    app = FastAPI()

    @app.get("/")
    async def get(session: Annotated[AsyncSession, session_dependency(databases)]) -> list[str]:
        return list(await session.scalars(select(User.name)))

    slots = databases.slots(asyncio=True)
    everything = dict(slots._free)
    assert slots.try_take(everything)
    task = request(app, "GET", "/")
    await until(lambda: bool(slots._waiting))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert {} == slots._waiting
    slots.release(everything)
    assert everything == slots._free
    assert [] == (await request(app, "GET", "/")).json()
    await databases.adispose()


@pytest.mark.parametrize("path", PATHS)
def test_client_that_disconnects_during_the_commit(databases: Databases, path: str) -> None:
    """The commit is finished."""
    with serve(application(databases)) as serving, slow_commits(0.3) as begun:
        with send_post(serving, path):
            assert begun.wait(10)
        serving.assert_idle(databases)

    assert [1, 1] == written(databases)


@pytest.mark.parametrize("path", PATHS)
def test_shutdown_during_the_commit(databases: Databases, path: str) -> None:
    """The server cancels its requests, and does not end before their commits have."""
    with (
        serve(application(databases), timeout_graceful_shutdown=0) as serving,
        slow_commits(0.5) as begun,
        send_post(serving, path),
    ):
        assert begun.wait(10)
        serving.shut_down()

        assert [1, 1] == written(databases)


def send_post(serving: Serving, path: str) -> socket.socket:
    """A client that has sent its request, and goes when the block ends, whatever has come of it."""
    client = socket.create_connection(("127.0.0.1", serving.port))
    client.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode())
    return client
