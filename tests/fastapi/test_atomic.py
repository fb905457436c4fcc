"""What a client hears of atomic commits that fail. On SQLite files; on servers, see tests/atomic."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from manybase import AtomicityError, Databases, InDoubtError, NotCommitted
from manybase.testing import Failure, fail_at
from tests.fastapi.ledger import application
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.ledgers import ledgers

both = pytest.mark.parametrize("path", ["/async", "/sync"])


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Databases]:
    databases = ledgers({name: f"sqlite:///{tmp_path / name}.db" for name in ("first", "second")})
    databases.create_all()
    yield databases
    databases.dispose()


def kept(books: Databases) -> list[int]:
    return [len(rows(books, name, "entries")) for name in ("first", "second")]


@both
def test_not_committed(books: Databases, path: str) -> None:
    """A 503 that says when to try again, and nothing is kept."""
    with serve(application(books)) as serving, serving.client() as client:
        with fail_at("deciding", error=NotCommitted("The connection to 'first' was lost.", ["first"])):
            failed = client.post(path)
        again = client.post(path)
        serving.assert_idle(books)

    assert (503, "1") == (failed.status_code, failed.headers["retry-after"])
    assert {"detail": "The databases could not commit together. Nothing was changed; try again."} == failed.json()
    assert 200 == again.status_code
    assert [1, 1] == kept(books)


@both
def test_commit_in_doubt(books: Databases, path: str) -> None:
    """A 500 that says the outcome is unknown, names the transaction, and never says to try again."""
    with serve(application(books)) as serving, serving.client() as client:
        with fail_at("deciding", error=InDoubtError("0193f2a4", "first")):
            failed = client.post(path)
        serving.assert_idle(books)

    assert 500 == failed.status_code
    assert "application/problem+json" == failed.headers["content-type"]
    assert "retry-after" not in failed.headers
    assert "is unknown. Do not repeat it; it ends by itself, as transaction 0193f2a4." in failed.json()["detail"]


@both
@pytest.mark.parametrize("error", [AtomicityError("Two files in WAL mode."), Failure("a bug")])
def test_what_retrying_does_not_help(books: Databases, path: str, error: Exception) -> None:
    """A plain 500: the program is to be changed, not the request repeated."""
    with serve(application(books)) as serving, serving.client() as client:
        with fail_at("deciding", error=error):
            failed = client.post(path)
        serving.assert_idle(books)

    assert (500, "Internal Server Error") == (failed.status_code, failed.text)
    assert [0, 0] == kept(books)
