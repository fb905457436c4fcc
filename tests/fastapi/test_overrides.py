"""`dependency_overrides`: what a test puts in the place of a session dependency."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import session_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.shop import User, in_files


@pytest.fixture
def app(databases: Databases) -> FastAPI:
    app = FastAPI()

    async def names(session: Annotated[AsyncSession, session_dependency(databases)]) -> list[str]:
        return list(await session.scalars(select(User.name)))

    @app.post("/users/{name}")
    async def post(
        name: str,
        names: Annotated[list[str], Depends(names)],
        session: Annotated[AsyncSession, session_dependency(databases)],
    ) -> list[str]:
        session.add(User(name=name))
        return names

    @app.post("/sync/{name}")
    def post_sync(name: str, session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        session.add(User(name=name))

    return app


def test_other_databases(app: FastAPI, databases: Databases, tmp_path: Path) -> None:
    """Equal arguments find the dependency of the routes: all of them get sessions over the other databases."""
    (tmp_path / "other").mkdir()
    other = in_files(tmp_path / "other")
    other.create_all()
    app.dependency_overrides[session_dependency(databases).dependency] = session_dependency(other).dependency

    with TestClient(app) as client:
        assert [] == client.post("/users/ann").json()
        assert ["ann"] == client.post("/users/bob").json()
    assert [] == rows(databases, "shop", "users", "name")
    assert ["ann", "bob"] == rows(other, "shop", "users", "name")
    other.dispose()


def test_session_of_the_test(app: FastAPI, databases: Databases) -> None:
    """A generator of the test's own decides what happens at the end."""

    async def rolled_back() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(databases) as session:
            yield session
            await session.rollback()

    app.dependency_overrides[session_dependency(databases).dependency] = rolled_back

    assert [] == TestClient(app).post("/users/ann").json()
    assert [] == rows(databases, "shop", "users")


def test_only_what_was_overridden(app: FastAPI, databases: Databases) -> None:
    """Sync sessions, and those of other arguments, are other dependencies."""

    async def none() -> None: ...

    app.dependency_overrides[session_dependency(databases).dependency] = none
    app.dependency_overrides[session_dependency(databases, database="shop").dependency] = none

    assert 200 == TestClient(app).post("/sync/ann").status_code
    assert ["ann"] == rows(databases, "shop", "users", "name")


def test_choosing_dependency(databases: Databases) -> None:
    """It can be overridden as well: the choices still hold."""

    def choose() -> str:
        return "shop"

    def mars() -> str:
        return "mars"

    app = FastAPI()

    @app.get("/")
    async def get(
        session: Annotated[Any, session_dependency(databases, database=choose, choices=["shop", "audit"])],
    ) -> str:
        return str(session.sync_session.scope.database)

    client = TestClient(app)
    found = client.get("/").json()
    app.dependency_overrides[choose] = lambda: "audit"
    overridden = client.get("/").json()
    app.dependency_overrides[choose] = mars
    unknown = client.get("/").status_code

    assert ("shop", "audit", 404) == (found, overridden, unknown)
