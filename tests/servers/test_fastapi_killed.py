"""PostgreSQL is killed while an application works with it, and comes back."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, insert, select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.ledgers import ENTRIES, ledgers
from tests.servers.server import PASSWORD, USER, Server

ENTRY = ENTRIES["first"]
UNAVAILABLE = {"detail": "The database is not available. Nothing was changed; try again."}
UNKNOWN = {"detail": "The database went away during the commit. Whether anything was changed is unknown."}


@pytest.fixture(params=["postgresql", "postgresql+psycopg"])
def databases(
    request: pytest.FixtureRequest, private_postgresql: Server, create_database: Callable[[Server], URL]
) -> Iterator[Databases]:
    url = create_database(private_postgresql).set(drivername=request.param)
    databases = ledgers({"first": url}, engine_options={"pool_size": 5, "max_overflow": 0})
    databases.create_all()
    yield databases
    databases.dispose()


def application(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))

    @app.post("/async/{number}")
    async def post(number: int, session: Annotated[AsyncSession, session_dependency(databases)]) -> int | None:
        await session.execute(insert(ENTRY).values(id=number))
        return await session.scalar(select(ENTRY.c.id).where(ENTRY.c.id == number))

    @app.post("/sync/{number}")
    def post_sync(number: int, session: Annotated[Session, sync_session_dependency(databases)]) -> int | None:
        session.execute(insert(ENTRY).values(id=number))
        return session.scalar(select(ENTRY.c.id).where(ENTRY.c.id == number))

    return app


@dataclass
class Clients:
    """Ten clients that never stop asking, and note what they were told."""

    url: str
    told: dict[int, httpx2.Response] = field(default_factory=dict)

    async def work(self, act: Callable[[], None]) -> None:
        """Ask until `act`, which runs in a thread, has returned, and the answers to the last requests are there."""
        acting = asyncio.create_task(asyncio.to_thread(act))
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(base_url=self.url, timeout=30, limits=limits) as client:
            await asyncio.gather(*(self.ask(client, number, acting) for number in range(10)))
        await acting

    async def ask(self, client: httpx2.AsyncClient, first: int, acting: "asyncio.Task[None]") -> None:
        for number in itertools.count(first, 10):
            path = f"/{'sync' if number % 2 else 'async'}/{number}"
            self.told[number] = await client.post(path)
            if acting.done():
                return

    def with_status(self, status: int) -> dict[int, httpx2.Response]:
        return {number: response for number, response in self.told.items() if response.status_code == status}


def test_killed_under_load(databases: Databases, private_postgresql: Server) -> None:
    """Nothing but clear 503s; it works again as soon as the server does, and no row is where it must not be."""
    with serve(application(databases)) as serving:
        clients = Clients(serving.url)

        def kill_and_start() -> None:
            wait_for(clients, 200, 30)
            private_postgresql.kill()
            wait_for(clients, 503, 30)
            private_postgresql.start()
            wait_for(clients, 200, 30)

        asyncio.run(clients.work(kill_and_start))
        with serving.client() as client:
            last = [
                client.post(f"/{kind}/{1_000_000 + n}").status_code for n, kind in enumerate(["async", "sync"] * 10)
            ]
        serving.assert_idle(databases)

    found = set(rows(databases, "first", "entries"))
    refused = clients.with_status(503)
    assert {200, 503} == {response.status_code for response in clients.told.values()}
    assert [200] * 20 == last
    assert set() == set(clients.with_status(200)) - found
    for number, response in refused.items():
        assert "application/problem+json" == response.headers["content-type"]
        if "retry-after" in response.headers:
            assert UNAVAILABLE == response.json()
            assert number not in found
        else:
            assert UNKNOWN == response.json()
        told = f"{response.headers} {response.text}"
        assert not any(word in told for word in (PASSWORD, USER, "127.0.0.1", "psycopg", "asyncpg", "server closed"))


def wait_for(clients: Clients, status: int, more: int) -> None:
    deadline = time.monotonic() + 30
    wanted = len(clients.with_status(status)) + more
    while len(clients.with_status(status)) < wanted:
        assert time.monotonic() < deadline, f"{more} more answers with {status} have not come."
        time.sleep(0.02)


def test_not_there_when_the_application_starts(databases: Databases, private_postgresql: Server) -> None:
    """The application starts all the same, answers 503, and works once the server is there."""
    databases.dispose()
    private_postgresql.kill()
    with serve(application(databases)) as serving, serving.client() as client:
        before = [client.post(path) for path in ("/async/1", "/sync/2")]
        private_postgresql.start()
        after = [client.post(path).status_code for path in ("/async/1", "/sync/2")]

    assert [(503, UNAVAILABLE)] * 2 == [(response.status_code, response.json()) for response in before]
    assert [200, 200] == after
