"""Streaming sessions: open until the last row is sent, and for reading only."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.schema import CreateTable

from manybase import AsyncSession, Databases, ReadOnlyError, Session
from manybase.fastapi import lifespan, streaming_dependency
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.shop import Entry, Event, User


@pytest.fixture
def hundred_users(databases: Databases) -> Databases:
    with Session(databases) as session, session.begin():
        session.add_all([User(id=number, name=f"user {number}") for number in range(1, 101)])
    return databases


def application(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))
    app.state.sessions = []

    @app.get("/users")
    async def users(
        session: Annotated[AsyncSession, streaming_dependency(databases)], fail_after: int = 1000
    ) -> StreamingResponse:
        app.state.sessions.append(session)

        async def lines() -> AsyncIterator[str]:
            async for user in await session.stream_scalars(select(User).order_by(User.id)):
                if user.id > fail_after:
                    raise ZeroDivisionError
                yield f"{user.name}\n"

        return StreamingResponse(lines())

    return app


def test_rows_are_streamed(hundred_users: Databases) -> None:
    """They come while the session is open; it is closed when the response has been sent."""
    app = application(hundred_users)
    with serve(app) as serving, serving.client() as client:
        with client.stream("GET", "/users") as response:
            lines = list(response.iter_lines())
        serving.assert_idle(hundred_users)

    assert [f"user {number}" for number in range(1, 101)] == lines
    assert not app.state.sessions[0].in_transaction()


def test_client_that_leaves_in_the_middle(hundred_users: Databases) -> None:
    """The session is closed and its connection back in its pool."""
    app = FastAPI(lifespan=lifespan(hundred_users))

    @app.get("/endless")
    async def endless(session: Annotated[AsyncSession, streaming_dependency(hundred_users)]) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            while True:
                for name in await session.scalars(select(User.name)):
                    yield f"{name}\n" * 100

        return StreamingResponse(lines())

    with serve(app) as serving:
        with serving.client() as client, client.stream("GET", "/endless") as response:
            next(response.iter_lines())
        serving.assert_idle(hundred_users)


def test_failure_in_the_middle(hundred_users: Databases) -> None:
    """The client sees that the response broke off, and the connection is back in its pool."""
    with serve(application(hundred_users)) as serving, serving.client() as client:
        with (
            pytest.raises(httpx2.RemoteProtocolError, match="incomplete"),
            client.stream("GET", "/users", params={"fail_after": 50}) as response,
        ):
            list(response.iter_lines())
        serving.assert_idle(hundred_users)


async def flush(session: AsyncSession) -> None:
    session.add(Entry(what="new"))
    await session.flush()


async def commit_what_was_added(session: AsyncSession) -> None:
    session.add(Entry(what="new"))
    await session.commit()


async def autoflush(session: AsyncSession) -> None:
    session.add(Entry(what="new"))
    await session.scalars(select(Entry))


async def change_an_object(session: AsyncSession) -> None:
    user = await session.get_one(User, 1)
    user.name = "eve"
    await session.flush()


async def delete_an_object(session: AsyncSession) -> None:
    await session.delete(await session.get_one(User, 1))
    await session.flush()


async def orm_bulk_insert(session: AsyncSession) -> None:
    await session.execute(insert(Entry), [{"what": "new"}, {"what": "newer"}])


async def orm_update(session: AsyncSession) -> None:
    await session.execute(update(User).where(User.id == 1).values(name="eve"))


async def orm_bulk_update_by_primary_key(session: AsyncSession) -> None:
    await session.execute(update(User), [{"id": 1, "name": "eve"}])


async def orm_delete(session: AsyncSession) -> None:
    await session.execute(delete(User).where(User.id == 1))


async def core_insert(session: AsyncSession) -> None:
    await session.execute(insert(Entry.__table__).values(what="new"))


async def core_insert_returning(session: AsyncSession) -> None:
    await session.scalar(insert(Entry.__table__).values(what="new").returning(Entry.__table__.c.id))


async def core_insert_on_a_connection(session: AsyncSession) -> None:
    connection = await session.connection(bind_arguments={"mapper": Entry})
    await connection.execute(insert(Entry.__table__).values(what="new"))


async def legacy_bulk_save(session: AsyncSession) -> None:
    await session.run_sync(lambda sync: sync.bulk_save_objects([Entry(what="new")]))


async def legacy_bulk_insert(session: AsyncSession) -> None:
    await session.run_sync(lambda sync: sync.bulk_insert_mappings(Entry, [{"what": "new"}]))  # type: ignore[arg-type]


async def legacy_query_update(session: AsyncSession) -> None:
    await session.run_sync(lambda sync: sync.query(User).update({"name": "eve"}))


async def insert_hidden_in_a_cte(session: AsyncSession) -> None:
    added = insert(Entry.__table__).values(what="new").returning(Entry.__table__.c.id).cte("added")
    await session.execute(select(added.c.id))


async def new_table(session: AsyncSession) -> None:
    await session.execute(CreateTable(Entry.__table__, if_not_exists=True))  # type: ignore[arg-type]


WRITES = [
    flush,
    commit_what_was_added,
    autoflush,
    change_an_object,
    delete_an_object,
    orm_bulk_insert,
    orm_update,
    orm_bulk_update_by_primary_key,
    orm_delete,
    core_insert,
    core_insert_returning,
    core_insert_on_a_connection,
    legacy_bulk_save,
    legacy_bulk_insert,
    legacy_query_update,
    insert_hidden_in_a_cte,
    new_table,
]


@pytest.mark.parametrize("write", WRITES)
def test_write(write: Callable[[AsyncSession], Awaitable[None]], hundred_users: Databases) -> None:
    """It is refused before it reaches a database, and nothing is changed."""
    app = FastAPI()

    @app.post("/")
    async def post(session: Annotated[AsyncSession, streaming_dependency(hundred_users)]) -> None:
        with pytest.raises(ReadOnlyError, match="Write through a session_dependency"):
            await write(session)

    with TestClient(app) as client:
        assert 200 == client.post("/").status_code
    assert [] == rows(hundred_users, "audit", "entries")
    assert "eve" not in rows(hundred_users, "shop", "users", "name")
    assert 100 == len(rows(hundred_users, "shop", "users"))


def test_write_as_text(hundred_users: Databases) -> None:
    """What it wrote is undone: the session never commits by itself."""
    app = FastAPI()

    @app.post("/")
    async def post(session: Annotated[AsyncSession, streaming_dependency(hundred_users)]) -> None:
        await session.execute(
            text("INSERT INTO entries (what) VALUES ('new')"), execution_options={"database": "audit"}
        )

    with TestClient(app) as client:
        assert 200 == client.post("/").status_code
    assert [] == rows(hundred_users, "audit", "entries")


def test_refused_write_that_nobody_catches(hundred_users: Databases) -> None:
    """It is a mistake of the program: a 500, and the connection is back in its pool."""
    app = FastAPI(lifespan=lifespan(hundred_users))

    @app.post("/")
    async def post(session: Annotated[AsyncSession, streaming_dependency(hundred_users)]) -> None:
        await session.execute(select(Event))
        session.add(Entry(what="new"))
        await session.flush()

    with serve(app) as serving, serving.client() as client:
        assert 500 == client.post("/").status_code
        serving.assert_idle(hundred_users)


def test_objects_that_were_only_read(hundred_users: Databases) -> None:
    """Reading is not mistaken for a write, lazy loads, refreshes and savepoints included."""
    app = FastAPI()

    @app.get("/")
    async def get(session: Annotated[AsyncSession, streaming_dependency(hundred_users)]) -> list[str]:
        user = await session.get_one(User, 1)
        await session.refresh(user, ["orders", "events"])
        async with session.begin_nested():
            await session.flush()
        return list(await session.scalars(select(User.name).where(User.id.in_(select(User.id).limit(1)))))

    assert ["user 1"] == TestClient(app).get("/").json()
