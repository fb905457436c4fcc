"""A dependency of the user's finds the tenant: it is looked up before the route runs, and fixed for the request."""

import asyncio
import enum
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI, Header, Request
from fastapi import Path as PathParameter
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import AsyncSession, ConfigurationError, Database, Databases, Session, TenantDirectory
from manybase.budget import CONNECTIONS
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from manybase.shelves import running_loop
from tests.sessions import statements

KINDS = [session_dependency, sync_session_dependency, streaming_dependency]
NOWHERE = "postgresql://127.0.0.1:1/crm"
HOSTILE = [
    "ACME",
    "acme'",
    "../acme",
    "%2e%2e",
    "acme\x00",
    "a" * 300,
    "аcme",
    "",
    "crm@acme",
    "acme;globex",
    "{tenant}",
]


class Crm(DeclarativeBase):
    """What each tenant has for itself."""


class Note(Crm):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Control(DeclarativeBase):
    """What all share."""


class Token(Control):
    __tablename__ = "token"

    secret: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]


def declared(path: Path, tenants: Any = ("acme", "globex"), **options: Any) -> Databases:
    options.setdefault("pool_timeout", 5.0)
    return Databases(
        Database("control", f"sqlite:///{path / 'control.db'}", models=Control, default=True),
        Database("crm", f"sqlite:///{path}/crm_{{tenant}}.db", models=Crm, tenants=tenants),
        **options,
    )


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    """Two tenants with a note of the same primary key, and their tokens."""
    databases = declared(tmp_path)
    databases.create_all()
    for name in ("acme", "globex"):
        databases.create_all(tenant=name)
        with Session(databases, tenant=name) as session, session.begin():
            session.add(Note(id=1, text=f"of {name}"))
        with Session(databases) as session, session.begin():
            session.add(Token(secret=f"secret of {name}", tenant=name))
    yield databases
    databases.dispose()


def by_header(x_tenant: Annotated[str | None, Header()] = None) -> str | None:
    return x_tenant


async def by_path(tenant: Annotated[str, PathParameter()]) -> str:
    return tenant


def application(databases: Databases, kind: Callable[..., Any] = session_dependency, by: Any = by_header) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases, recovery=False))
    dependency = kind(databases, tenant=by)

    async def notes(session: Annotated[AsyncSession, dependency]) -> list[str]:
        return list(await session.scalars(select(Note.text)))

    def sync_notes(session: Annotated[Session, dependency]) -> list[str]:
        return list(session.scalars(select(Note.text)))

    app.add_api_route("/notes", sync_notes if kind is sync_session_dependency else notes)
    return app


def of(tenant: str) -> dict[str, str]:
    return {"x-tenant": tenant}


@pytest.mark.parametrize("kind", KINDS)
def test_tenant_from_a_header(kind: Callable[..., Any], databases: Databases) -> None:
    """Each request sees the part of its tenant, with the same primary keys."""
    with TestClient(application(databases, kind)) as client:
        for name in ("acme", "globex", "acme"):
            assert [f"of {name}"] == client.get("/notes", headers=of(name)).json()


def test_tenant_from_the_path(databases: Databases) -> None:
    """An async dependency finds it just as well, and what a route writes stays with it."""
    app = FastAPI()

    @app.post("/{tenant}/notes")
    async def post(session: Annotated[AsyncSession, session_dependency(databases, tenant=by_path)]) -> None:
        session.add(Note(id=2, text="new"))

    assert 200 == TestClient(app).post("/globex/notes").status_code
    with Session(databases, tenant="globex") as session:
        assert ["of globex", "new"] == session.scalars(select(Note.text).order_by(Note.id)).all()
    with Session(databases, tenant="acme") as session:
        assert ["of acme"] == session.scalars(select(Note.text)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["nobody", *HOSTILE])
def test_tenant_that_nobody_knows(
    kind: Callable[..., Any], name: str, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    """A 404 that does not repeat the name, before anything connects; the log has it, escaped."""
    caplog.set_level(logging.INFO, "manybase.tenants")
    app = application(databases, kind, by=lambda: name)
    with statements(databases) as ran:
        response = TestClient(app).get("/notes")

    assert (404, {"detail": "Unknown tenant."}) == (response.status_code, response.json())
    assert "application/problem+json" == response.headers["content-type"]
    assert [] == ran
    (line,) = [each.getMessage() for each in caplog.records if each.name == "manybase.tenants"]
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 200


@pytest.mark.parametrize("kind", KINDS)
def test_request_without_a_tenant(kind: Callable[..., Any], databases: Databases) -> None:
    """The dependency says None: such a session has what all share, and nothing of any tenant."""
    app = FastAPI()
    dependency = kind(databases, tenant=by_header)

    async def tokens(session: Annotated[AsyncSession, dependency]) -> int:
        return len((await session.scalars(select(Token))).all())

    def sync_tokens(session: Annotated[Session, dependency]) -> int:
        return len(session.scalars(select(Token)).all())

    app.add_api_route("/tokens", sync_tokens if kind is sync_session_dependency else tokens)

    assert 2 == TestClient(app).get("/tokens").json()
    with pytest.raises(Exception, match="nothing says which one is meant"):
        TestClient(application(databases, kind)).get("/notes")


@pytest.mark.parametrize("kind", KINDS)
def test_two_tenants_in_one_request(kind: Callable[..., Any], databases: Databases) -> None:
    """A 400: no request gets to two tenants, whatever kinds of session it uses."""
    app = FastAPI()

    @app.get("/{tenant}/notes")
    async def notes(
        first: Annotated[AsyncSession, session_dependency(databases, tenant=by_path)],
        second: Annotated[Any, kind(databases, tenant=by_header, role="replica")],
    ) -> None: ...

    client = TestClient(app)

    assert 400 == client.get("/acme/notes", headers=of("globex")).status_code
    assert 200 == client.get("/acme/notes", headers=of("acme")).status_code
    assert 200 == client.get("/acme/notes").status_code


def test_tenant_of_a_token(databases: Databases) -> None:
    """The dependency asks a session of the same request; the tenant's session shares its ticket."""
    app = FastAPI()
    budget = databases.budget
    assert budget is not None
    used: list[dict[Any, int]] = []

    async def by_token(
        shared: Annotated[AsyncSession, session_dependency(databases)], secret: Annotated[str, Header()]
    ) -> str | None:
        return await shared.scalar(select(Token.tenant).where(Token.secret == secret))

    @app.get("/notes")
    async def notes(session: Annotated[AsyncSession, session_dependency(databases, tenant=by_token)]) -> list[str]:
        found = list(await session.scalars(select(Note.text)))
        used.append(dict(budget._used))
        return found

    with TestClient(app) as client:
        assert ["of globex"] == client.get("/notes", headers={"secret": "secret of globex"}).json()
        assert {"crm@globex"} == {place[0] for place in used[0] if place != CONNECTIONS}
        assert not any(budget._used.values())


def test_engine_and_connections_are_taken_together(tmp_path: Path) -> None:
    """Also where a session without a tenant comes first, and has not connected; all is given back."""
    databases = declared(tmp_path, max_connections=20)
    databases.create_all()
    databases.create_all(tenant="acme")
    app = FastAPI(lifespan=lifespan(databases, recovery=False))
    budget = databases.budget
    assert budget is not None

    @app.get("/notes")
    async def notes(
        request: Request,
        shared: Annotated[AsyncSession, session_dependency(databases)],
        session: Annotated[AsyncSession, session_dependency(databases, tenant=by_header)],
    ) -> dict[str, int]:
        await shared.scalars(select(Token))
        loop = running_loop()
        (ticket,) = request.scope["manybase.tickets"].values()
        return {
            "tickets": len(ticket._ticket.tickets),
            "connections": budget.in_use,
            "engine": budget._used["crm@acme", id(loop)],
            "nobody's": budget._used["crm@globex", id(loop)],
        }

    with TestClient(app) as client:
        told = client.get("/notes", headers=of("acme")).json()

    assert {"tickets": 1, "connections": 3, "engine": 1, "nobody's": 0} == told
    assert 0 == budget.in_use


@pytest.mark.parametrize("kind", KINDS)
def test_directory_that_is_down(kind: Callable[..., Any], tmp_path: Path) -> None:
    """503, to be tried again; who is known already is served."""
    down = False

    def find(name: str) -> bool:
        if down:
            raise OSError("no route to host, password hunter2")
        return name == "acme"

    databases = declared(tmp_path, TenantDirectory(find, believed=0.0))
    databases.create_all(tenant="acme")
    with TestClient(application(databases, kind)) as client:
        assert 200 == client.get("/notes", headers=of("acme")).status_code
        down = True
        refused, served = client.get("/notes", headers=of("globex")), client.get("/notes", headers=of("acme"))

    assert (503, "1") == (refused.status_code, refused.headers["retry-after"])
    assert {"detail": "Who the tenants are cannot be told. Nothing was changed; try again."} == refused.json()
    assert 200 == served.status_code


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.anyio
async def test_slow_directory(kind: Callable[..., Any], tmp_path: Path) -> None:
    """While it is asked about one tenant, requests of those who are known go on."""
    asked, answered = Event(), Event()

    def find(name: str) -> bool:
        if name == "globex":
            asked.set()
            answered.wait(10)
        return True

    databases = declared(tmp_path, TenantDirectory(find))
    for name in ("acme", "globex"):
        databases.create_all(tenant=name)
    app = application(databases, kind)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        await client.get("/notes", headers=of("acme"))
        waiting = [asyncio.create_task(client.get("/notes", headers=of("globex"))) for _ in range(50)]
        await asyncio.to_thread(asked.wait, 5)
        try:
            assert 200 == (await client.get("/notes", headers=of("acme"))).status_code
            assert not any(each.done() for each in waiting)
        finally:
            answered.set()
        assert {200} == {each.status_code for each in await asyncio.gather(*waiting)}
    await databases.adispose()
    databases.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_server_of_a_tenant_that_is_down(kind: Callable[..., Any], tmp_path: Path) -> None:
    """Its tenants get a 503, the others what they asked for."""
    shards = {"up": f"sqlite:///{tmp_path}/crm_{{tenant}}.db", "down": f"{NOWHERE}_{{tenant}}"}
    databases = Databases(Database("crm", shards=shards, models=Crm, tenants={"acme": "up", "globex": "down"}))
    databases.create_all(tenant="acme")
    with TestClient(application(databases, kind)) as client:
        down, up = client.get("/notes", headers=of("globex")), client.get("/notes", headers=of("acme"))

    assert (503, "1") == (down.status_code, down.headers["retry-after"])
    assert (200, []) == (up.status_code, up.json())


@pytest.mark.parametrize("kind", KINDS)
def test_no_engine_comes_free(kind: Callable[..., Any], tmp_path: Path) -> None:
    """503 after ``pool_timeout``, and the request that waits holds no thread of the routes."""
    databases = declared(tmp_path, max_tenant_engines=1, pool_timeout=0.3)
    for name in ("acme", "globex"):
        databases.create_all(tenant=name)
    app = application(databases, kind)

    @app.get("/busy")
    async def busy() -> int:
        ticket = databases.ticket({"crm": 1}, tenant="globex", asyncio=kind is not sync_session_dependency)
        await ticket.take_async()
        try:
            return (await asyncio.to_thread(client.get, "/notes", headers=of("acme"))).status_code
        finally:
            ticket.release()

    with TestClient(app) as client:
        assert 503 == client.get("/busy").json()
        assert 200 == client.get("/notes", headers=of("acme")).status_code


@pytest.mark.parametrize("kind", KINDS)
def test_dependencies_that_make_no_sense(kind: Callable[..., Any], databases: Databases, tmp_path: Path) -> None:
    """They are refused when they are declared."""
    without = Databases(Database("main", f"sqlite:///{tmp_path / 'main.db'}"))

    with pytest.raises(ConfigurationError, match="a dependency of yours"):
        kind(databases, tenant="acme")
    with pytest.raises(ConfigurationError, match="control has no tenants"):
        kind(databases, database="control", tenant=by_header)
    with pytest.raises(ConfigurationError, match="main has no tenants"):
        kind(without, tenant=by_header)


def test_parameters_of_the_route(databases: Databases) -> None:
    """Only what the dependency of the user's takes is a parameter of the route."""
    schema = application(databases).openapi()

    assert ["x-tenant"] == [each["name"] for each in schema["paths"]["/notes"]["get"]["parameters"]]


def test_override(databases: Databases) -> None:
    """In tests, another dependency may say who the tenant is."""
    app = application(databases)
    app.dependency_overrides[by_header] = lambda: "globex"

    assert ["of globex"] == TestClient(app).get("/notes", headers=of("acme")).json()


class Known(enum.Enum):
    ACME = "acme"


class KnownText(str, enum.Enum):  # noqa: UP042  # as before Python 3.11
    ACME = "acme"


@pytest.mark.parametrize("kind", KINDS)
def test_tenant_that_is_a_member_of_an_enum(kind: Callable[..., Any], databases: Databases) -> None:
    """A text is taken as such; what is none is nobody's name."""
    app = application(databases, kind, by=lambda: KnownText.ACME)

    async def tenant(session: Annotated[Any, kind(databases, tenant=lambda: KnownText.ACME)]) -> str:
        return f"{session.sync_session.scope.tenant if kind is not sync_session_dependency else session.scope.tenant}"

    app.add_api_route("/tenant", tenant)

    assert ["of acme"] == TestClient(app).get("/notes").json()
    assert "acme" == TestClient(app).get("/tenant").json()
    assert 404 == TestClient(application(databases, kind, by=lambda: Known.ACME)).get("/notes").status_code


@pytest.mark.parametrize("kind", KINDS)
def test_session_of_a_tenant_in_one_database(kind: Callable[..., Any], databases: Databases) -> None:
    """It is pinned to that tenant's part."""
    app = FastAPI()
    dependency = kind(databases, database="crm", tenant=by_header)

    async def route(session: Annotated[AsyncSession, dependency]) -> dict[str, Any]:
        route = session.route(Note)
        return {"database": route.database, "tenant": route.tenant}

    app.add_api_route("/route", route)

    assert {"database": "crm", "tenant": "acme"} == TestClient(app).get("/route", headers=of("acme")).json()
