"""The commit and the response, over a real socket: in which order, and what a client learns of a commit that fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from manybase import Databases, Session
from tests.fastapi.ledger import application
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.fastapi.slow import slow_commits
from tests.ledgers import ledgers


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Databases]:
    databases = ledgers({name: f"sqlite:///{tmp_path / name}.db" for name in ("first", "second")})
    databases.create_all()
    yield databases
    databases.dispose()


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_commit_comes_before_the_response(books: Databases, path: str) -> None:
    """The first byte of the response is sent when everything is committed, however long that takes."""
    order: list[str] = []
    app = application(books)

    class Watch:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def watched(message: Any) -> None:
                order.append(message["type"])
                await send(message)

            await self.app(scope, receive, watched if scope["type"] == "http" else send)

    def committed(_: object) -> None:
        order.append("committed")

    app.add_middleware(Watch)
    event.listen(Session, "after_commit", committed)
    try:
        with serve(app) as serving, serving.client() as client, slow_commits(0.1):
            response = client.post(path)
            seen = [rows(books, "first", "entries"), rows(books, "second", "entries")]
    finally:
        event.remove(Session, "after_commit", committed)

    assert (200, {"status": "written"}) == (response.status_code, response.json())
    assert [[1], [1]] == seen
    assert ["committed", "http.response.start"] == order[:2]


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_commit_that_fails(books: Databases, path: str) -> None:
    """The client gets a 5xx that tells nothing of the database, nothing is kept, and the next request works."""
    with serve(application(books)) as serving, serving.client() as client:
        failed = client.post(path, params={"broken": "first"})
        after = client.post(path)
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert "Internal Server Error" == failed.text
    assert 200 == after.status_code
    assert [[1], [1]] == [rows(books, "first", "entries"), rows(books, "second", "entries")]


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_commit_that_tears(books: Databases, path: str) -> None:
    """With atomic=False one is committed and the other failed: a 500 that says not to repeat it, and no more."""
    with serve(application(books, atomic=False)) as serving, serving.client() as client:
        failed = client.post(path, params={"broken": "second"})
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert "application/problem+json" == failed.headers["content-type"]
    assert "Retry-After" not in failed.headers
    assert {"detail": "The request was carried out in part. Do not repeat it; report it."} == failed.json()
    assert [[1], []] == [rows(books, "first", "entries"), rows(books, "second", "entries")]
