"""How a request ends: what commits, and what rolls back."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import session_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.shop import Entry, Event, User

Post = Callable[[Callable[[], Any]], int]


@pytest.fixture(params=["async", "sync"])
def post(request: pytest.FixtureRequest, databases: Databases) -> Post:
    """Posts to a route that adds a row to each database, then ends as told; gives the status."""

    def post(end: Callable[[], Any]) -> int:
        app = FastAPI()

        async def route(session: Annotated[AsyncSession, session_dependency(databases)]) -> Any:
            session.add_all([User(name="ann"), Event(kind="view"), Entry(what="opened")])
            await session.flush()
            return end()

        def def_route(session: Annotated[Session, sync_session_dependency(databases)]) -> Any:
            session.add_all([User(name="ann"), Event(kind="view"), Entry(what="opened")])
            session.flush()
            return end()

        chosen = route if request.param == "async" else def_route
        app.add_api_route("/", chosen, methods=["POST"], response_model=dict[str, int])
        return TestClient(app, raise_server_exceptions=False).post("/").status_code

    return post


def written(databases: Databases) -> list[int]:
    tables = {"shop": "users", "analytics": "events", "audit": "entries"}
    return [len(rows(databases, name, table)) for name, table in tables.items()]


def test_route_that_returns(post: Post, databases: Databases) -> None:
    """All databases are committed."""
    assert 200 == post(lambda: {"a": 1})
    assert [1, 1, 1] == written(databases)


def test_http_exception(post: Post, databases: Databases) -> None:
    """Nothing is kept in any database, and the client gets the route's own answer."""

    def refuse() -> None:
        raise HTTPException(409, "no")

    assert 409 == post(refuse)
    assert [0, 0, 0] == written(databases)


def test_any_other_exception(post: Post, databases: Databases) -> None:
    """Nothing is kept in any database."""

    def fail() -> None:
        raise ZeroDivisionError

    assert 500 == post(fail)
    assert [0, 0, 0] == written(databases)


def test_response_that_is_not_what_the_route_declares(post: Post, databases: Databases) -> None:
    """Nothing is kept: the client gets a 500, so it must not have happened."""
    assert 500 == post(lambda: {"a": "not a number"})
    assert [0, 0, 0] == written(databases)


def test_returned_error_response(post: Post, databases: Databases) -> None:
    """It commits: a returned response is a success of the route, whatever its status. Raise to roll back."""
    assert 409 == post(lambda: JSONResponse({"x": 1}, status_code=409))
    assert [1, 1, 1] == written(databases)


def test_exception_handled_in_the_route(databases: Databases) -> None:
    """What the route catches does not end the transaction: a savepoint undoes a part, the rest commits."""
    app = FastAPI()

    @app.post("/")
    async def post(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        session.add(Entry(what="tried"))
        try:
            async with session.begin_nested():
                session.add(User(name="ann"))
                await session.flush()
                raise ValueError
        except ValueError:
            pass

    assert 200 == TestClient(app).post("/").status_code
    assert [0, 0, 1] == written(databases)


def test_exception_of_a_later_dependency(databases: Databases) -> None:
    """A session that is already open rolls back, although its route never ran."""
    app = FastAPI()

    async def log(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        session.add(Entry(what="came in"))
        await session.flush()

    async def refuse(_: Annotated[None, Depends(log)]) -> None:
        raise HTTPException(401)

    @app.post("/", dependencies=[Depends(refuse)])
    async def post() -> None: ...

    assert 401 == TestClient(app).post("/").status_code
    assert [0, 0, 0] == written(databases)


def test_route_that_commits_itself(databases: Databases) -> None:
    """What it has committed stays, also when it fails later."""
    app = FastAPI()

    @app.post("/")
    async def post_twice(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        session.add(Entry(what="first"))
        await session.commit()
        session.add(Entry(what="second"))
        raise HTTPException(409)

    assert 409 == TestClient(app).post("/").status_code
    assert ["first"] == rows(databases, "audit", "entries", "what")
