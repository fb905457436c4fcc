"""Several session dependencies in one route: each has a transaction of its own."""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.shop import Entry, Event, User


def test_session_per_database(databases: Databases) -> None:
    """Each commits what it was given."""
    app = FastAPI()

    @app.post("/")
    async def post(
        shop: Annotated[AsyncSession, session_dependency(databases, database="shop")],
        analytics: Annotated[AsyncSession, session_dependency(databases, database="analytics")],
        both_kinds: Annotated[Session, sync_session_dependency(databases, database="audit")],
    ) -> int:
        shop.add(User(id=1, name="ann"))
        analytics.add(Event(kind="view", user_id=1))
        both_kinds.add(Entry(what="opened"))
        return len({id(shop), id(analytics), id(both_kinds)})

    assert 3 == TestClient(app).post("/").json()
    assert [1] == rows(databases, "shop", "users")
    assert [1] == rows(databases, "analytics", "events")
    assert [1] == rows(databases, "audit", "entries")


def test_audit_row_of_a_request_that_fails(databases: Databases) -> None:
    """It stays when the route commits the audit session itself; everything else of the request is rolled back."""
    session_of_request = session_dependency(databases)
    session_of_audit = session_dependency(databases, database="audit")
    app = FastAPI()

    async def audited(audit: Annotated[AsyncSession, session_of_audit]) -> None:
        audit.add(Entry(what="order tried"))
        await audit.commit()  # here: at the end of the request it would be rolled back with it

    @app.post("/orders", dependencies=[Depends(audited)])
    async def order(session: Annotated[AsyncSession, session_of_request]) -> None:
        session.add(User(name="ann"))
        await session.flush()
        raise HTTPException(409, "sold out")

    assert 409 == TestClient(app).post("/orders").status_code
    assert [] == rows(databases, "shop", "users")
    assert ["order tried"] == rows(databases, "audit", "entries", "what")


def test_request_that_fails_without_a_commit_of_its_own(databases: Databases) -> None:
    """Every session of it rolls back, the last one opened first."""
    app = FastAPI()

    @app.post("/")
    async def post(
        session: Annotated[AsyncSession, session_dependency(databases)],
        audit: Annotated[AsyncSession, session_dependency(databases, database="audit")],
    ) -> None:
        audit.add(Entry(what="tried"))
        await audit.flush()
        session.add(User(name="ann"))
        await session.flush()
        raise HTTPException(409)

    assert 409 == TestClient(app).post("/").status_code
    assert [] == rows(databases, "shop", "users")
    assert [] == rows(databases, "audit", "entries")


def test_uncommitted_rows_of_the_other_session(databases: Databases) -> None:
    """They are not seen: two sessions are two transactions."""
    app = FastAPI()

    @app.post("/")
    async def post(
        session: Annotated[AsyncSession, session_dependency(databases)],
        audit: Annotated[AsyncSession, session_dependency(databases, database="audit")],
    ) -> bool:
        entry = Entry(what="new")
        session.add(entry)
        await session.flush()
        return await audit.get(Entry, entry.id) is None

    assert TestClient(app).post("/").json() is True


def test_streaming_session_beside_a_writing_one(databases: Databases) -> None:
    """Both work, and no slot stays taken."""
    app = FastAPI()

    @app.post("/")
    async def post(
        session: Annotated[AsyncSession, session_dependency(databases)],
        reading: Annotated[AsyncSession, streaming_dependency(databases)],
    ) -> None:
        assert await reading.get(User, 1) is None
        session.add(Entry(what="looked"))

    with TestClient(app) as client:
        assert [200, 200] == [client.post("/").status_code for _ in range(2)]
    assert [1, 2] == rows(databases, "audit", "entries")
