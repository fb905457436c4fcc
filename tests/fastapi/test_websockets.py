"""Sessions in websocket routes: one for the whole conversation, committed when the route returns."""

from contextlib import suppress
from typing import Annotated

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.testclient import WebSocketDenialResponse

from manybase import AsyncSession, Databases, Overloaded, PartialCommitError, Session
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.fastapi.serving import idle
from tests.shop import Entry, User


@pytest.fixture
def app(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))

    @app.websocket("/talk")
    async def talk(websocket: WebSocket, session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        await websocket.accept()
        while (said := await websocket.receive_text()) != "bye":
            if said == "fail":
                raise ZeroDivisionError
            session.add(Entry(what=said))
            await session.flush()
            await websocket.send_text(f"{len((await session.scalars(select(Entry))).all())}")

    @app.websocket("/streaming")
    async def stream(websocket: WebSocket, session: Annotated[AsyncSession, streaming_dependency(databases)]) -> None:
        await websocket.accept()
        for name in await session.scalars(select(User.name).order_by(User.name)):
            await websocket.send_text(name)

    @app.websocket("/sync")
    async def sync(websocket: WebSocket, session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        await websocket.accept()
        session.add(Entry(what="sync"))

    @app.get("/idle")
    async def is_idle() -> None:
        await idle(databases)

    return app


def test_conversation(app: FastAPI, databases: Databases) -> None:
    """It sees its own rows, and they are committed when its route has returned."""
    with TestClient(app) as client:
        with client.websocket_connect("/talk") as websocket:
            for number in range(1, 4):
                websocket.send_text(f"line {number}")
                assert str(number) == websocket.receive_text()
            assert [] == rows(databases, "audit", "entries")
            websocket.send_text("bye")
        assert ["line 1", "line 2", "line 3"] == rows(databases, "audit", "entries", "what")
        assert 200 == client.get("/idle").status_code


def test_client_that_goes_away(app: FastAPI, databases: Databases) -> None:
    """The route raises `WebSocketDisconnect` unless it catches it: rolled back, and the pools are idle."""
    with TestClient(app) as client:
        with suppress(WebSocketDisconnect):  # newer test clients pass it on
            leave(client)
        assert 200 == client.get("/idle").status_code
    assert [] == rows(databases, "audit", "entries")


def test_failure_in_the_middle(app: FastAPI, databases: Databases) -> None:
    """Rolled back, and the pools are idle."""
    with TestClient(app) as client:
        with suppress(ZeroDivisionError):
            fail(client)
        assert 200 == client.get("/idle").status_code
    assert [] == rows(databases, "audit", "entries")


def leave(client: TestClient) -> None:
    with client.websocket_connect("/talk") as websocket:
        websocket.send_text("line")
        websocket.receive_text()


def fail(client: TestClient) -> None:
    with client.websocket_connect("/talk") as websocket:
        websocket.send_text("line")
        websocket.receive_text()
        websocket.send_text("fail")


def test_streaming_session(app: FastAPI, databases: Databases) -> None:
    """It reads as long as the conversation lasts."""
    with Session(databases) as session, session.begin():
        session.add_all([User(name="ann"), User(name="bob")])
    with TestClient(app) as client:
        with client.websocket_connect("/streaming") as websocket:
            assert ["ann", "bob"] == [websocket.receive_text(), websocket.receive_text()]
        assert 200 == client.get("/idle").status_code


def test_sync_session(app: FastAPI, databases: Databases) -> None:
    """It commits as well."""
    with TestClient(app) as client:
        with client.websocket_connect("/sync"):
            pass
        assert 200 == client.get("/idle").status_code
    assert ["sync"] == rows(databases, "audit", "entries", "what")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Overloaded(["s3cret!"], 1), 503, 1013), (PartialCommitError(["s3cret!"], []), 500, 1011)],
    ids=lambda each: type(each).__name__,
)
def test_database_error(databases: Databases, error: Exception, status: int, code: int) -> None:
    """Before the conversation begins it is denied; after that it is closed with a code; neither tells what failed."""
    app = FastAPI()

    @app.websocket("/denied")
    async def deny(session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        raise error

    @app.websocket("/closed")
    async def close(websocket: WebSocket, session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        await websocket.accept()
        raise error

    with TestClient(app) as client:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/denied"):
            pass
        with client.websocket_connect("/closed") as websocket:
            closed = websocket.receive()

    assert status == denied.value.status_code
    assert ("websocket.close", code) == (closed["type"], closed["code"])
    assert "s3cret!" not in denied.value.text + closed["reason"]


def test_database_error_after_the_end(databases: Databases) -> None:
    """Nobody is left to be told: the error is the server's, for its log."""
    app = FastAPI()

    @app.websocket("/")
    async def talk(websocket: WebSocket, session: Annotated[AsyncSession, session_dependency(databases)]) -> None:
        await websocket.accept()
        await websocket.close()
        raise Overloaded(["shop"], 1)

    with TestClient(app) as client, pytest.raises(Overloaded), client.websocket_connect("/"):
        pass


def test_unknown_choice(databases: Databases) -> None:
    """The conversation never begins: 404, as for any other route."""
    app = FastAPI()

    def choose(region: str) -> str:
        return region

    @app.websocket("/")
    async def talk(
        websocket: WebSocket,
        session: Annotated[AsyncSession, session_dependency(databases, database=choose, choices=["shop"])],
    ) -> None:
        await websocket.accept()

    with (
        TestClient(app) as client,
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/?region=mars"),
    ):
        pass

    assert 404 == denied.value.status_code
