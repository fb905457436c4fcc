"""Tickets: how many connections a request may need, known before it takes the first one."""

from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from tests.shop import User


def taken(databases: Databases, *, asyncio: bool) -> dict[str, int]:
    slots = databases.slots(asyncio=asyncio)
    return {name: slots._capacity[name] - free for name, free in slots._free.items() if free != slots._capacity[name]}


def use(app: FastAPI | APIRouter, databases: Databases, **sessions: Any) -> None:
    """A route with these session dependencies, that reads with the first of them and tells what is taken then."""

    async def get(**given: Any) -> dict[str, dict[str, int]]:
        first = next(iter(given.values()))
        if isinstance(first, AsyncSession):
            await first.scalars(select(User))
        else:
            first.scalars(select(User))
        return {"async": taken(databases, asyncio=True), "sync": taken(databases, asyncio=False)}

    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=Annotated[Any, each]) for name, each in sessions.items()
    ]
    get.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    app.add_api_route("/", get)


def answer(app: FastAPI, path: str = "/") -> Any:
    with TestClient(app) as client:
        return client.get(path).json()


def test_session_over_all_databases(databases: Databases) -> None:
    """One connection of each, taken together."""
    app = FastAPI()
    use(app, databases, session=session_dependency(databases))

    assert {"async": {"shop": 1, "analytics": 1, "audit": 1}, "sync": {}} == answer(app)


def test_two_sessions(databases: Databases) -> None:
    """What both need, taken at once by whichever comes first."""
    app = FastAPI()
    use(
        app,
        databases,
        session=session_dependency(databases),
        audit=session_dependency(databases, database="audit"),
        reading=streaming_dependency(databases, database="shop"),
    )

    assert {"async": {"shop": 2, "analytics": 1, "audit": 2}, "sync": {}} == answer(app)


def test_sessions_of_both_kinds(databases: Databases) -> None:
    """Their pools are different ones, and so are their slots."""
    app = FastAPI()
    use(
        app,
        databases,
        session=session_dependency(databases),
        audit=sync_session_dependency(databases, database="audit"),
    )

    assert {"async": {"shop": 1, "analytics": 1, "audit": 1}, "sync": {"audit": 1}} == answer(app)


def test_pinned_sessions(databases: Databases) -> None:
    """One connection of their database; they wait for it like everyone, as long as `pool_timeout` and no longer."""
    app = FastAPI()
    use(
        app,
        databases,
        session=session_dependency(databases, database="shop"),
        sync=sync_session_dependency(databases, database="audit"),
    )

    assert {"async": {"shop": 1}, "sync": {"audit": 1}} == answer(app)


def test_session_of_a_dependency_of_the_router(databases: Databases) -> None:
    """It is counted from the first request on."""

    async def audited(
        one: Annotated[AsyncSession, session_dependency(databases, database="audit")],
        two: Annotated[AsyncSession, session_dependency(databases, database="analytics")],
    ) -> None:
        await one.connection()

    app, router = FastAPI(lifespan=lifespan(databases)), APIRouter()
    use(router, databases, session=session_dependency(databases))
    app.include_router(router, dependencies=[Depends(audited)])

    assert {"async": {"shop": 1, "analytics": 2, "audit": 2}, "sync": {}} == answer(app)


def test_request_that_ends(databases: Databases) -> None:
    """Everything is given back, however it ends."""
    app = FastAPI()

    @app.get("/{number}")
    def divide(
        number: int,
        session: Annotated[Session, sync_session_dependency(databases)],
        audit: Annotated[Session, sync_session_dependency(databases, database="audit")],
    ) -> float:
        session.scalars(select(User))
        return 1 / number

    with TestClient(app, raise_server_exceptions=False) as client:
        assert [200, 500, 200] == [client.get(path).status_code for path in ("/1", "/0", "/2")]
        assert {} == taken(databases, asyncio=False)


def test_chosen_database(databases: Databases) -> None:
    """One connection of that one: a request waits for no database that it has not chosen."""
    app = FastAPI()
    use(app, databases, session=sync_session_dependency(databases, database=lambda: "shop", choices=["shop", "audit"]))

    assert {"async": {}, "sync": {"shop": 1}} == answer(app)


def test_two_chosen_databases(databases: Databases) -> None:
    """When the first session is made, the second may still choose any."""
    app = FastAPI()
    use(
        app,
        databases,
        one=session_dependency(databases, database=lambda: "shop", choices=["shop", "audit"]),
        other=session_dependency(databases, database=lambda: "audit", choices=["shop", "audit"]),
    )

    assert {"async": {"shop": 2, "audit": 1}, "sync": {}} == answer(app)


def test_router_included_twice(databases: Databases) -> None:
    """A route is counted with the dependencies of all its inclusions: too many are no danger, too few are."""

    async def audited(_: Annotated[AsyncSession, session_dependency(databases, database="audit")]) -> None: ...

    app, router = FastAPI(), APIRouter()
    use(router, databases, session=session_dependency(databases, database="shop"))
    app.include_router(router, prefix="/plain")
    app.include_router(router, prefix="/audited", dependencies=[Depends(audited)])

    assert {"async": {"shop": 1, "audit": 1}, "sync": {}} == answer(app, "/audited/")
