"""What a client is told when a database did not do as asked, and what it is not told."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, select, text
from sqlalchemy import exc as sa_exc
from sqlalchemy.pool import NullPool
from starlette.exceptions import HTTPException

from manybase import (
    AsyncSession,
    Database,
    Databases,
    ManybaseError,
    Overloaded,
    PartialCommitError,
    Session,
    UnknownDatabase,
)
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency
from tests.shop import MODELS, Entry, User

SECRETS = [
    "s3cret!",
    "s3cret",
    "db-user",
    "db-host",
    "127.0.0.1",
    "connection refused",
    "Traceback",
    "sqlalche",
    "psycopg",
]
UNREACHABLE = [
    "postgresql+psycopg://db-user:s3cret!@127.0.0.1:1/shop",
    "postgresql://db-user:s3cret!@127.0.0.1:1/shop",
    "mysql://db-user:s3cret!@127.0.0.1:1/shop",
    "mysql+aiomysql://db-user:s3cret!@127.0.0.1:1/shop",
    "sqlite:////no/such/db-host/s3cret!.db",
]


def application(databases: Databases, fail: Callable[[], Any] = lambda: None) -> FastAPI:
    app = FastAPI()

    @app.api_route("/async", methods=["GET", "POST"])
    async def read(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        fail()
        await session.execute(select(User))

    @app.api_route("/sync", methods=["GET", "POST"])
    def read_sync(session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        fail()
        session.execute(select(User))

    @app.get("/streaming")
    async def stream(session: Annotated[AsyncSession, streaming_dependency(databases)]) -> None:
        fail()
        await session.execute(select(User))

    return app


def get(app: FastAPI, path: str, method: str = "GET") -> httpx2.Response:
    return TestClient(app, raise_server_exceptions=False).request(method, path)


def assert_discreet(response: httpx2.Response) -> None:
    """Nothing of the database, its driver or its URL is in the response."""
    told = f"{response.headers} {response.text}".lower()

    assert [] == [secret for secret in SECRETS if secret.lower() in told]


@pytest.mark.parametrize("path", ["/async", "/sync", "/streaming"])
@pytest.mark.parametrize("url", UNREACHABLE)
def test_server_that_is_not_there(path: str, url: str) -> None:
    """A 503 that may be repeated, for each driver; nothing of the URL or the driver is told."""
    if path == "/sync":
        url = url.replace("+aiomysql", "")
    databases = Databases(Database("shop", url, models=MODELS["shop"]))
    response = get(application(databases), path)

    assert 503 == response.status_code
    assert "application/problem+json" == response.headers["content-type"]
    assert "1" == response.headers["retry-after"]
    assert {"detail": "The database is not available. Nothing was changed; try again."} == response.json()
    assert_discreet(response)


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_locked_file(tmp_path: Path, path: str) -> None:
    """A request that meets another one gets a 503 that may be repeated."""
    url = f"sqlite:///{tmp_path / 'db-host'}.db"
    databases = Databases(
        Database("audit", url, models=MODELS["audit"], engine_options={"connect_args": {"timeout": 0}})
    )
    databases.create_all()
    app = FastAPI()

    @app.post("/async")
    async def write(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        session.add(Entry(what="new"))

    @app.post("/sync")
    def write_sync(session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        session.add(Entry(what="new"))

    with create_engine(url, poolclass=NullPool).connect() as other:
        other.execute(text("INSERT INTO entries (what) VALUES ('first')"))
        response = get(app, path, "POST")

    assert 503 == response.status_code
    assert "1" == response.headers["retry-after"]
    assert {"detail": "The request met another one. Nothing was changed; try again."} == response.json()
    assert_discreet(response)
    databases.dispose()


def raises(error: Exception) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


TEXT = "s3cret! on 127.0.0.1 by psycopg"


@pytest.mark.parametrize("path", ["/async", "/sync", "/streaming"])
@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (PartialCommitError(["shop"], ["s3cret!"]), 500, None),
        (Overloaded(["s3cret!"], 1), 503, "1"),
        (sa_exc.TimeoutError(TEXT), 503, "1"),
        (sa_exc.IntegrityError(TEXT, {}, Exception(TEXT)), 500, None),
        (sa_exc.OperationalError(TEXT, {}, Exception(TEXT)), 500, None),
        (sa_exc.OperationalError(TEXT, {}, Exception(TEXT), connection_invalidated=True), 503, "1"),
        (sa_exc.PendingRollbackError(TEXT), 500, None),
        (UnknownDatabase("s3cret!", ["shop"]), 500, None),
        (ValueError(TEXT), 500, None),
    ],
    ids=lambda each: type(each).__name__,
)
def test_error_in_the_route(databases: Databases, path: str, error: Exception, status: int, retry: str | None) -> None:
    """The status says whether to try again; the response tells nothing else."""
    response = get(application(databases, raises(error)), path)

    assert (status, retry) == (response.status_code, response.headers.get("retry-after"))
    assert_discreet(response)


def test_error_that_was_answered(databases: Databases) -> None:
    """The original error is the cause of what was answered, for whoever logs it."""
    seen = []
    app = application(databases, raises(Overloaded(["shop"], 1)))

    @app.exception_handler(HTTPException)
    async def note(request: Request, error: HTTPException) -> JSONResponse:
        seen.append(error)
        return JSONResponse({}, error.status_code)

    assert 503 == get(app, "/async").status_code
    assert isinstance(seen[0].__cause__, Overloaded)


@pytest.mark.parametrize("path", ["/async", "/sync", "/streaming"])
@pytest.mark.parametrize(
    ("error", "handled"),
    [
        (PartialCommitError(["shop"], ["audit"]), PartialCommitError),
        (PartialCommitError(["shop"], ["audit"]), ManybaseError),
        (PartialCommitError(["shop"], ["audit"]), sa_exc.SQLAlchemyError),
        (Overloaded(["shop"], 1), sa_exc.TimeoutError),
        (sa_exc.OperationalError("", {}, Exception(), connection_invalidated=True), sa_exc.DBAPIError),
        (sa_exc.OperationalError("", {}, Exception(), connection_invalidated=True), sa_exc.OperationalError),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else type(each).__name__,
)
def test_exception_handler_of_the_application(
    databases: Databases, path: str, error: Exception, handled: type[Exception]
) -> None:
    """It comes first, and is given the original error."""
    app = application(databases, raises(error))

    @app.exception_handler(handled)
    async def handle(request: Request, raised: Exception) -> JSONResponse:
        return JSONResponse({"same": raised is error}, 418)

    response = get(app, path)

    assert (418, {"same": True}) == (response.status_code, response.json())


def test_exception_handler_for_all_exceptions(databases: Databases) -> None:
    """It is for what nobody else answers: an overload stays a 503."""
    app = application(databases, raises(Overloaded(["shop"], 1)))

    @app.exception_handler(Exception)
    async def handle(request: Request, raised: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    assert 503 == get(app, "/async").status_code


def test_exception_handler_of_a_mounted_application(databases: Databases) -> None:
    """The one of the application that the route belongs to counts."""
    inner = application(databases, raises(Overloaded(["shop"], 1)))

    @inner.exception_handler(Overloaded)
    async def handle(request: Request, raised: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    outer = FastAPI()
    outer.mount("/inner", inner)

    assert 418 == get(outer, "/inner/async").status_code
