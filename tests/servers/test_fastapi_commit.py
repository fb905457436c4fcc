"""A commit that a PostgreSQL server refuses, over a real uvicorn socket."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import URL

from manybase import Databases
from tests.fastapi.ledger import application
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.ledgers import ledgers
from tests.servers.server import Server


@pytest.fixture(params=["postgresql+psycopg", "postgresql"])
def books(
    request: pytest.FixtureRequest, postgresql: Server, create_database: Callable[[Server], URL]
) -> Iterator[Databases]:
    """By psycopg for both kinds of session, and by what is chosen for each."""
    urls = [create_database(postgresql).set(drivername=request.param) for _ in range(2)]
    databases = ledgers(dict(zip(("first", "second"), urls, strict=True)))
    databases.create_all()
    yield databases
    databases.dispose()


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_deferred_constraint(books: Databases, path: str) -> None:
    """It fails at COMMIT, after the route has returned: the client gets a 5xx, never a 2xx, and nothing is kept."""
    with serve(application(books)) as serving, serving.client() as client:
        failed = client.post(path, params={"broken": "first"})
        after = client.post(path)
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert "Internal Server Error" == failed.text
    assert 200 == after.status_code
    assert [1, 1] == [len(rows(books, "first", "entries")), len(rows(books, "second", "entries"))]


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_deferred_constraint_in_the_second_database(books: Databases, path: str) -> None:
    """It refuses to prepare: nothing is kept in the first one either."""
    with serve(application(books)) as serving, serving.client() as client:
        failed = client.post(path, params={"broken": "second"})
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert [0, 0] == [len(rows(books, "first", "entries")), len(rows(books, "second", "entries"))]


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_commit_that_tears(books: Databases, path: str) -> None:
    """With atomic=False the first one is committed by then: a 500 that says not to repeat it."""
    with serve(application(books, atomic=False)) as serving, serving.client() as client:
        failed = client.post(path, params={"broken": "second"})
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert {"detail": "The request was carried out in part. Do not repeat it; report it."} == failed.json()
    assert [1, 0] == [len(rows(books, "first", "entries")), len(rows(books, "second", "entries"))]
