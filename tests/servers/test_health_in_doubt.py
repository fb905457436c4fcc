"""What health tells of transactions that are in doubt."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL

from manybase import Databases, Session
from manybase.fastapi import health_router
from manybase.health import DatabaseHealth, Health
from manybase.recovery import resolve
from manybase.testing import fail_at
from tests.ledgers import ledgers, write

DRIVERS = {"async": ("asyncpg", "asyncmy"), "threads": ("psycopg2", "pymysql")}


@pytest.fixture(params=DRIVERS.values(), ids=list(DRIVERS))
def databases(request: pytest.FixtureRequest, postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> Databases:
    """A PostgreSQL, in which a committed transaction is not finished, and a MariaDB and a SQLite, in which none is."""
    sync = {
        "first": postgresql_url.set(drivername="postgresql+psycopg"),
        "second": mariadb_url.set(drivername="mysql+pymysql"),
    }
    writing = ledgers(sync)
    writing.create_all()
    with Session(writing) as session:
        write(session, "first", "second")
        with fail_at("finishing"):
            session.commit()
    writing.dispose()
    first, second = (f"{name}+{driver}" for name, driver in zip(("postgresql", "mysql"), request.param, strict=True))
    urls = {"first": sync["first"].set(drivername=first), "second": sync["second"].set(drivername=second)}
    return ledgers({**urls, "third": sqlite_url})


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manybase.health.OLD", -1)


def found(health: Health, *names: str) -> list[DatabaseHealth]:
    return asyncio.run(health.check_all(names))


def test_young_one(databases: Databases) -> None:
    """It is counted, with its age; all is well. Of a file nothing is known."""
    first, second, third = found(Health(databases, timeout=20), "first", "second", "third")

    assert ["ok", 1] == [first.status, first.in_doubt]
    assert first.oldest_in_doubt_seconds is not None
    assert ("ok", 0, None) == (second.status, second.in_doubt, second.oldest_in_doubt_seconds)
    assert ("ok", None, None) == (third.status, third.in_doubt, third.oldest_in_doubt_seconds)


@pytest.mark.usefixtures("old")
def test_old_one(databases: Databases) -> None:
    """Recovery should have ended it: a warning."""
    first, second = found(Health(databases, timeout=20), "first", "second")

    assert ["warn", "ok"] == [first.status, second.status]


def test_how_often(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, postgresql_url: URL, mariadb_url: URL
) -> None:
    """For half a minute nobody is asked again, however often it is checked."""
    health = Health(databases, timeout=20, keep=0)
    assert 1 == found(health, "first")[0].in_doubt
    urls = {"first": postgresql_url, "second": mariadb_url}
    assert ["committed"] == [each.ended for each in resolve(ledgers(urls), min_age=0).resolutions]

    assert 1 == found(health, "first")[0].in_doubt
    monkeypatch.setattr("manybase.health.RARELY", 0)
    assert 0 == found(health, "first")[0].in_doubt


def test_question_that_fails(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is known, and the database is as well as it was."""

    def fail(*_: Any) -> Iterator[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr("manybase.twophase.postgresql.prepared", fail)

    (first,) = found(Health(databases, timeout=20), "first")

    assert ("ok", None) == (first.status, first.in_doubt)


def test_single_database(postgresql_url: URL) -> None:
    """There is nobody to commit together with: it is not asked."""
    (first,) = found(Health(ledgers({"first": postgresql_url}), timeout=20), "first")

    assert ("ok", None) == (first.status, first.in_doubt)


@pytest.mark.usefixtures("old")
def test_routes(databases: Databases) -> None:
    """The details tell it; the application stays ready."""
    app = FastAPI()
    app.include_router(health_router(databases, details=Depends(lambda: None), timeout=20))

    with TestClient(app) as client:
        details, ready = client.get("/health"), client.get("/readyz")
        one = client.get("/health/first")

    assert [200, 200, 200] == [details.status_code, ready.status_code, one.status_code]
    assert "warn" == details.json()["status"]
    assert [1, 0, None] == [each["in_doubt"] for each in details.json()["databases"]]
    assert ["warn", 1] == [one.json()["status"], one.json()["in_doubt"]]
