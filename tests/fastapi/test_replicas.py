"""Replica sessions in FastAPI: the role of a request, and the position that its client carries."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header
from fastapi.testclient import TestClient
from sqlalchemy import insert, select

from manybase import AsyncSession, ConfigurationError, Database, Databases, NoReplica, Position, Session
from manybase.fastapi import PositionMiddleware, by_method, session_dependency, sync_session_dependency
from manybase.position import OnPrimary, Wal
from tests.shop import MODELS, Entry

SECRET = "a secret of enough bytes"
COOKIE = "manybase_position"


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    """A file with a replica, which here is the same file; nobody knows its log position."""
    url = f"sqlite:///{tmp_path / 'audit.db'}"
    databases = Databases(Database("audit", url, models=MODELS["audit"], replicas=[url]))
    databases.create_all()
    yield databases
    databases.dispose()


def app_with(databases: Databases, **options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(PositionMiddleware, databases=databases, secret=SECRET, **options)
    by_role = session_dependency(databases, role=by_method)

    @app.api_route("/entries", methods=["GET", "POST"])
    async def entries(session: Annotated[AsyncSession, by_role]) -> dict[str, Any]:
        session_sync = session.sync_session
        if session_sync.scope.role == "primary":
            await session.execute(insert(Entry).values(what="x"))
            await session.commit()
        return {
            "role": session_sync.scope.role,
            "count": len((await session.scalars(select(Entry))).all()),
            "after": str(session_sync.position),
        }

    @app.get("/sync")
    def read(session: Annotated[Session, sync_session_dependency(databases, role="replica")]) -> str:
        return f"{session.scope.role} {len(session.scalars(select(Entry)).all())}"

    return app


def test_role_by_method(databases: Databases) -> None:
    """What reads gets a replica session, what writes another, in `def` routes too."""
    client = TestClient(app_with(databases))

    assert "primary" == client.post("/entries").json()["role"]
    assert "replica" == client.get("/entries").json()["role"]
    assert "replica 1" == client.get("/sync").json()


def test_role_by_a_dependency(databases: Databases) -> None:
    """A dependency of the user's chooses, with parameters of its own."""

    def choose(x_role: Annotated[str, Header()] = "primary") -> str:
        return x_role

    app = FastAPI()

    @app.get("/")
    async def role(session: Annotated[AsyncSession, session_dependency(databases, role=choose)]) -> str:
        return session.sync_session.scope.role

    client = TestClient(app)
    assert ["primary", "replica"] == [
        client.get("/", headers={"x-role": each}).json() for each in ("primary", "replica")
    ]
    with pytest.raises(ConfigurationError, match="'primary', 'replica'"):
        client.get("/", headers={"x-role": "writer"})


def test_dependency_is_the_same_for_the_same_role(databases: Databases) -> None:
    """One session per request for equal arguments, and a role that there is not is refused at declaration."""
    one, other = (session_dependency(databases, role="replica").dependency for _ in range(2))

    assert one is other
    assert one is not session_dependency(databases).dependency
    with pytest.raises(ConfigurationError, match="role is one of"):
        session_dependency(databases, role="reader")  # type: ignore[arg-type]


def test_position_in_a_cookie(databases: Databases) -> None:
    """What a client has written, it reads after in its next request; who has not written carries nothing."""
    client, other = TestClient(app_with(databases)), TestClient(app_with(databases))

    written = client.post("/entries")
    read = client.get("/entries")

    assert COOKIE in written.cookies
    assert written.json()["after"] == read.json()["after"] != ""
    assert COOKIE not in read.cookies
    assert "" == other.get("/entries").json()["after"]
    attributes = SimpleCookie(written.headers["set-cookie"])[COOKIE]
    assert ("/", True, "Lax", "3600", "") == tuple(
        attributes[name] for name in ("path", "httponly", "samesite", "max-age", "secure")
    )


def test_cookie_over_https(databases: Databases) -> None:
    """It is for https only, then."""
    client = TestClient(app_with(databases), base_url="https://testserver")

    assert "; Secure" in client.post("/entries").headers["set-cookie"]


def test_position_in_a_header(databases: Databases) -> None:
    """Clients without cookies send back what they got."""
    client = TestClient(app_with(databases))
    written = client.post("/entries")
    client.cookies.clear()

    read = client.get("/entries", headers={"x-manybase-position": written.headers["x-manybase-position"]})

    assert written.json()["after"] == read.json()["after"]


@pytest.mark.parametrize(
    "token", ["audit:primary.ffffffff!AAAA", "x", "!", "audit:wal.1.1.1", "é", "a" * 9000, 'quoted"!', "%00!%00"]
)
def test_position_of_somebody_else(databases: Databases, token: str) -> None:
    """It is ignored, and counted; no answer fails for it."""
    client = TestClient(app_with(databases))

    found = client.get("/entries", headers={"x-manybase-position": token.encode("latin-1")})

    assert (200, "") == (found.status_code, found.json()["after"])
    assert 1 == databases.replicas.refused_positions


def test_position_that_was_changed(databases: Databases) -> None:
    """A single character is enough."""
    signed = PositionMiddleware(app_with(databases), databases, secret=SECRET).sign(Position({"audit": Wal(1, 1, 255)}))
    client = TestClient(app_with(databases))

    for changed in (signed.replace(".ff", ".fe"), signed[:-1] + ("A" if signed[-1] != "A" else "B")):
        assert "" == client.get("/entries", headers={"x-manybase-position": changed}).json()["after"]
    assert 2 == databases.replicas.refused_positions
    assert "audit:wal.1.1.ff" == client.get("/entries", headers={"x-manybase-position": signed}).json()["after"]


def test_change_of_secrets(databases: Databases) -> None:
    """The first one signs; what an older one has signed is still accepted."""
    old = PositionMiddleware(app_with(databases), databases, secret=SECRET).sign(Position({"audit": OnPrimary()}))
    app = FastAPI()

    @app.get("/")
    async def after(session: Annotated[AsyncSession, session_dependency(databases, role="replica")]) -> str:
        return str(session.position)

    app.add_middleware(PositionMiddleware, databases=databases, secret=["another one, quite long", SECRET])

    assert "audit:primary" in TestClient(app).get("/", headers={"x-manybase-position": old}).json()
    for wrong in ("short", []):
        with pytest.raises(ConfigurationError, match="secret"):
            PositionMiddleware(app, databases, secret=wrong)


def test_position_of_unknown_databases(databases: Databases) -> None:
    """What is not declared here, or has no replicas, is left out."""
    middleware = PositionMiddleware(app_with(databases), databases, secret=SECRET)
    signed = middleware.sign(Position({"elsewhere": Wal(1, 1, 1), "audit": Wal(1, 1, 2)}))

    found = TestClient(app_with(databases)).get("/entries", headers={"x-manybase-position": signed})

    assert "audit:wal.1.1.2" == found.json()["after"]


def test_no_replica(databases: Databases) -> None:
    """A client may try again."""
    app = FastAPI()

    @app.get("/")
    async def fail(session: Annotated[AsyncSession, session_dependency(databases, role="replica")]) -> None:
        raise NoReplica("audit", {"audit/1": "down"})

    found = TestClient(app).get("/")

    assert (503, "1") == (found.status_code, found.headers["retry-after"])
    assert "audit" not in found.text
