"""Session dependencies: which session a route is given, and for how long."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event, select
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import Session as SQLAlchemySession

from manybase import AsyncSession, Database, Databases, RoutingError, Session, UnknownDatabase
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.shop import Entry, Event, User, in_files

KINDS = [session_dependency, sync_session_dependency, streaming_dependency]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments(kind: Callable[..., Any], databases: Databases) -> None:
    """They give the same dependency, so that FastAPI makes one session of it per request."""
    assert kind(databases).dependency is kind(databases).dependency
    assert kind(databases, database="shop").dependency is kind(databases, database="shop").dependency


@pytest.mark.parametrize("kind", KINDS)
def test_different_arguments(kind: Callable[..., Any], databases: Databases) -> None:
    """They give different dependencies, each with a session of its own."""

    def choose() -> str:
        return "shop"

    made = {
        kind(databases).dependency,
        kind(databases, database="shop").dependency,
        kind(databases, database="audit").dependency,
        kind(databases, database=choose, choices=["shop"]).dependency,
        kind(databases, database=choose, choices=["shop", "audit"]).dependency,
    }

    assert 5 == len(made)


def test_equal_arguments_of_different_kinds(databases: Databases) -> None:
    """A sync, an async and a streaming session are never the same one."""
    assert 3 == len({kind(databases).dependency for kind in KINDS})


def test_equal_declarations(databases: Databases, tmp_path: Any) -> None:
    """Two `Databases` are two, be they declared alike."""
    assert session_dependency(databases).dependency is not session_dependency(in_files(tmp_path)).dependency


def test_scopes(databases: Databases) -> None:
    """A session ends before the response is sent; only a streaming one stays open."""
    assert "function" == session_dependency(databases).scope
    assert "function" == sync_session_dependency(databases).scope
    assert "request" == streaming_dependency(databases).scope


@pytest.mark.parametrize("kind", KINDS)
def test_database_that_is_not_declared(kind: Callable[..., Any], databases: Databases) -> None:
    """It is refused where the dependency is made, not in a request."""
    with pytest.raises(UnknownDatabase, match="'biling' is not declared"):
        kind(databases, database="biling")


def test_sub_dependency_with_a_session(databases: Databases) -> None:
    """The route and its dependencies share one session, thus one transaction."""
    seen = []

    async def current_user(session: Annotated[AsyncSession, session_dependency(databases)]) -> User:
        seen.append(session)
        session.add(User(id=1, name="ann"))
        return (await session.scalars(select(User))).one()

    app = FastAPI()

    @app.post("/")
    async def post(
        user: Annotated[User, Depends(current_user)], session: Annotated[AsyncSession, session_dependency(databases)]
    ) -> str:
        seen.append(session)
        session.add(Event(user=user, kind="login"))
        return user.name

    response = TestClient(app).post("/")

    assert (200, "ann") == (response.status_code, response.json())
    assert seen[0] is seen[1]
    assert [1] == rows(databases, "shop", "users")
    assert [1] == rows(databases, "analytics", "events", "user_id")


def test_two_requests(databases: Databases) -> None:
    """Each has a session of its own."""
    seen = []
    app = FastAPI()

    @app.get("/")
    async def get(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        seen.append(session)

    client = TestClient(app)
    client.get("/")
    client.get("/")

    assert 2 == len(set(seen))


def test_def_route_with_a_sync_session(databases: Databases) -> None:
    """It writes to three databases, and all are committed."""
    app = FastAPI()

    @app.post("/")
    def post(session: Annotated[Session, sync_session_dependency(databases)]) -> str:
        assert isinstance(session, SQLAlchemySession)
        session.add_all([User(name="ann"), Event(kind="view"), Entry(what="opened")])
        return "ok"

    assert "ok" == TestClient(app).post("/").json()
    assert ["ann"] == rows(databases, "shop", "users", "name")
    assert ["view"] == rows(databases, "analytics", "events", "kind")
    assert ["opened"] == rows(databases, "audit", "entries", "what")


@pytest.mark.parametrize("kind", KINDS)
def test_pinned_session(kind: Callable[..., Any], databases: Databases) -> None:
    """It touches the database it is pinned to, and is refused any other."""
    app = FastAPI()

    @app.get("/")
    async def get(session: Annotated[Any, kind(databases, database="audit")]) -> str:
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        assert "audit" == sync.route(select(Entry)).database
        with pytest.raises(RoutingError, match="pinned to database 'audit'"):
            sync.route(select(User))
        return "ok"

    assert "ok" == TestClient(app).get("/").json()


def test_objects_after_the_commit(databases: Databases) -> None:
    """They stay readable: nothing expires, so that a background task can use what was loaded."""
    names = []
    app = FastAPI()

    @app.post("/")
    async def post(
        background: BackgroundTasks, session: Annotated[AsyncSession, session_dependency(databases)]
    ) -> None:
        user = User(name="ann")
        session.add(user)
        background.add_task(lambda: names.append(user.name))

    TestClient(app).post("/")

    assert ["ann"] == names


async def use_async(session: Any) -> None:
    await session.scalars(select(User))


def use_sync(session: Any) -> None:
    session.scalars(select(User))


@pytest.mark.parametrize(
    ("kind", "use"), [(session_dependency, use_async), (sync_session_dependency, use_sync)], ids=["async", "sync"]
)
def test_session_used_by_a_background_task(
    kind: Callable[..., Any], use: Callable[..., Any], databases: Databases
) -> None:
    """It raises, it never silently opens a transaction that nobody ends; and no slot stays taken."""
    app = FastAPI()

    @app.get("/")
    async def get(background: BackgroundTasks, session: Annotated[Any, kind(databases)]) -> None:
        background.add_task(use, session)

    with TestClient(app) as client, pytest.raises(sa_exc.InvalidRequestError, match="permanently closed"):
        client.get("/")

    assert_free(databases)


def test_session_used_after_its_request(databases: Databases) -> None:
    """It raises, whoever kept it."""
    kept: list[Session] = []
    app = FastAPI()

    @app.get("/")
    def get(session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        kept.append(session)

    TestClient(app).get("/")

    with pytest.raises(sa_exc.InvalidRequestError, match="permanently closed"):
        kept[0].scalars(select(User))
    with pytest.raises(sa_exc.InvalidRequestError, match="permanently closed"):
        kept[0].commit()
    assert_free(databases)


def test_streaming_session_in_a_background_task(databases: Databases) -> None:
    """It is still open: it ends with the request, and background tasks belong to that."""
    names: list[str] = []
    app = FastAPI()

    async def read(session: AsyncSession) -> None:
        names.extend(await session.scalars(select(User.name)))

    @app.get("/")
    async def get(
        background: BackgroundTasks, session: Annotated[AsyncSession, streaming_dependency(databases)]
    ) -> None:
        background.add_task(read, session)

    with Session(databases) as session, session.begin():
        session.add(User(name="ann"))
    TestClient(app).get("/")

    assert ["ann"] == names


def test_route_that_does_not_use_its_session(databases: Databases) -> None:
    """No connection is made."""
    connected = []
    app = FastAPI()

    @app.get("/")
    def get(session: Annotated[Session, sync_session_dependency(databases)]) -> str:
        return "ok"

    for name in databases.names:
        event.listen(databases.engine(name), "do_connect", lambda *_: connected.append(1))
    databases.dispose()
    response = TestClient(app).get("/")

    assert "ok" == response.json()
    assert [] == connected


def test_one_database(tmp_path: Any) -> None:
    """One declared database is enough, and needs no default."""
    databases = Databases(Database("shop", f"sqlite:///{tmp_path / 'one'}.db", models=User))
    databases.create_all()
    app = FastAPI()

    @app.post("/")
    async def post(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        session.add(User(name="ann"))

    assert 200 == TestClient(app).post("/").status_code
    assert ["ann"] == rows(databases, "shop", "users", "name")
    databases.dispose()


def assert_free(databases: Databases) -> None:
    slots = databases.slots()

    assert slots._capacity == slots._free
