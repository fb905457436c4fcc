"""The life of an application: what is checked when it starts, and what is gone when it has ended."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import QueuePool, create_engine, select

from manybase import AsyncSession, ConfigurationError, Database, Databases, Session
from manybase.fastapi import lifespan, running, session_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.shop import Entry, User

Threads = Callable[[], list[str]]


@pytest.fixture
def threads() -> Threads:
    """The names of the threads that have started since, once those that are about to end have ended."""
    before = set(threading.enumerate())

    def started() -> list[str]:
        deadline = time.monotonic() + 10
        while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [thread.name for thread in left]

    return started


def application(databases: Databases, **options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/state")
    async def state(request: Request) -> bool:
        return request.state.databases is databases

    @app.get("/async")
    async def read(session: Annotated[AsyncSession, session_dependency(databases)]) -> list[str]:
        return list(await session.scalars(select(User.name)))

    @app.get("/sync")
    def read_sync(session: Annotated[Session, sync_session_dependency(databases)]) -> list[str]:
        return list(session.scalars(select(User.name)))

    @app.post("/entries")
    async def write(session: Annotated[AsyncSession, session_dependency(databases)], what: str = "opened") -> None:
        session.add(Entry(what=what))

    return app


def test_state(databases: Databases) -> None:
    """`request.state.databases` is what the lifespan was given."""
    with TestClient(application(databases, lifespan=lifespan(databases))) as client:
        assert client.get("/state").json() is True


def test_client_without_a_lifespan(databases: Databases) -> None:
    """A `TestClient` outside of a `with` block starts no lifespan; sessions work all the same."""
    client = TestClient(application(databases, lifespan=lifespan(databases)))

    assert [200, 200, 200] == [
        client.post("/entries").status_code,
        client.get("/async").status_code,
        client.get("/sync").status_code,
    ]
    assert [1] == rows(databases, "audit", "entries")


def test_model_that_cannot_be_imported(tmp_path: Path) -> None:
    """The application does not start."""
    databases = Databases(Database("shop", f"sqlite:///{tmp_path / 'shop'}.db", models="no_such_module.models"))

    with (
        pytest.raises(ConfigurationError, match="no_such_module"),
        TestClient(FastAPI(lifespan=lifespan(databases))),
    ):
        pass


def test_lifespan_of_ones_own(databases: Databases) -> None:
    """`running` checks the declarations when it is entered and disposes the engines when it is left."""
    seen: list[Any] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append("before")
        async with running(databases) as given:
            seen.append(given)
            yield {"databases": given}
        seen.append("after")

    with TestClient(application(databases, lifespan=own)) as client:
        assert client.get("/state").json() is True
        assert 200 == client.get("/async").status_code

    assert ["before", databases, "after"] == seen


def test_lifespan_of_ones_own_that_fails(databases: Databases, threads: Threads) -> None:
    """The engines are disposed all the same."""

    async def fail() -> None:
        async with running(databases):
            async with AsyncSession(databases) as session:
                await session.scalars(select(User))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert [] == threads()


def test_one_application_after_the_other(databases: Databases) -> None:
    """The same `Databases` start again, in another event loop."""
    app = application(databases, lifespan=lifespan(databases))
    for number in range(3):
        with TestClient(app) as client:
            client.post("/entries", params={"what": str(number)})
            client.get("/sync")

    assert ["0", "1", "2"] == rows(databases, "audit", "entries", "what")


def test_shutdown(databases: Databases, threads: Threads) -> None:
    """Every connection is closed, and the threads that served them are gone."""
    app = application(databases, lifespan=lifespan(databases))
    pools: list[QueuePool] = []

    async def note_pools() -> None:
        for name in databases.names:
            for engine in (databases.engine(name), databases.async_engine(name).sync_engine):
                assert isinstance(engine.pool, QueuePool)
                pools.append(engine.pool)

    with serve(app) as serving, serving.client() as client:
        for path in ("/async", "/sync"):
            assert 200 == client.get(path).status_code
        serving.run(note_pools())
        assert sum(pool.checkedin() for pool in pools) >= 2

    assert [0] * 6 == [pool.checkedin() + pool.checkedout() for pool in pools]
    assert [] == threads()


def test_engine_of_the_users_own(tmp_path: Path) -> None:
    """It stays open: whoever made it disposes it."""
    engine = create_engine(f"sqlite:///{tmp_path / 'own'}.db")
    databases = Databases(Database("audit", engine=engine, models=Entry))
    databases.create_all()
    app = FastAPI(lifespan=lifespan(databases))

    @app.get("/")
    def get(session: Annotated[Session, sync_session_dependency(databases)]) -> int:
        return len(session.scalars(select(Entry)).all())

    with TestClient(app) as client:
        client.get("/")

    assert isinstance(engine.pool, QueuePool)
    assert 1 == engine.pool.checkedin()
    engine.dispose()


def test_several_databases_in_one_lifespan(databases: Databases, threads: Threads) -> None:
    """Lifespans nest, for an application with two sets of databases."""
    other = Databases(*databases)

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        async with running(databases), running(other):
            yield

    app = application(databases, lifespan=both)

    @app.get("/other")
    async def read(session: Annotated[AsyncSession, session_dependency(other)]) -> list[str]:
        return list(await session.scalars(select(User.name)))

    with TestClient(app) as client:
        assert [[], []] == [client.get("/async").json(), client.get("/other").json()]
    assert [] == threads()
