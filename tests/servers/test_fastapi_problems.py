"""What a client is told of the troubles that only a server has."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL, insert, select, text, update

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, sync_session_dependency
from tests.fastapi.serving import serve
from tests.ledgers import ENTRIES, NAMES, ledgers
from tests.servers.killing import make_commits_slow, terminate, while_committing
from tests.servers.server import PASSWORD, USER, Server

ENTRY = ENTRIES["first"]
KINDS = ["async", "sync"]
CONFLICT = (503, "1", {"detail": "The request met another one. Nothing was changed; try again."})
UNAVAILABLE = (503, "1", {"detail": "The database is not available. Nothing was changed; try again."})
UNKNOWN = (503, None, {"detail": "The database went away during the commit. Whether anything was changed is unknown."})
NOT_TOGETHER = (503, "1", {"detail": "The databases could not commit together. Nothing was changed; try again."})
IN_PART = (500, None, {"detail": "The request was carried out in part. Do not repeat it; report it."})
WRONG = {
    "password": {"password": f"{PASSWORD} not"},
    "user": {"username": "nobody"},
    "database": {"database": "no_such_one"},
}
POSTGRESQL = {
    "async": ["postgresql+psycopg", "postgresql+asyncpg"],
    "sync": ["postgresql+psycopg", "postgresql+psycopg2"],
}
MARIADB = {"async": ["mysql+asyncmy", "mysql+aiomysql"], "sync": ["mysql+pymysql", "mysql+mysqlconnector"]}


Open = Callable[..., Databases]


@pytest.fixture
def open_ledgers() -> Iterator[Open]:
    """Databases at these URLs, with their tables; disposed afterwards."""
    opened: list[Databases] = []

    def open_at(*urls: URL) -> Databases:
        databases = ledgers(dict(zip(NAMES, urls, strict=False)))
        databases.create_all()
        opened.append(databases)
        return databases

    yield open_at
    for databases in opened:
        databases.dispose()


def told(response: httpx2.Response) -> tuple[int, str | None, Any]:
    """Status, Retry-After and body; nothing of the server and its driver is anywhere in the response."""
    assert "application/problem+json" == response.headers["content-type"]
    everything = f"{response.headers} {response.text}".lower()
    assert not any(word in everything for word in (PASSWORD, USER, "nobody", "127.0.0.1", "psycopg", "pymysql", "sql"))
    return response.status_code, response.headers.get("retry-after"), response.json()


def application(databases: Databases, work: Callable[[Session], Any], *, atomic: bool = True) -> FastAPI:
    """`/async` and `/sync` do the same work."""
    app = FastAPI(lifespan=lifespan(databases))
    async_session = Annotated[AsyncSession, session_dependency(databases, atomic=atomic)]
    sync_session = Annotated[Session, sync_session_dependency(databases, atomic=atomic)]

    @app.api_route("/async", methods=["GET", "POST"])
    async def do(session: async_session) -> None:
        await session.run_sync(work)

    @app.api_route("/sync", methods=["GET", "POST"])
    def do_sync(session: sync_session) -> None:
        work(session)

    return app


def write(session: Session) -> None:
    for table in (ENTRIES[name] for name in session.databases.names):
        session.execute(insert(table))


def wrong(servers: dict[str, list[str]]) -> Any:
    cases = [(kind, driver, what) for kind in KINDS for driver in servers[kind] for what in WRONG]
    return pytest.mark.parametrize(("kind", "driver", "what"), cases)


@wrong(POSTGRESQL)
def test_postgresql_that_refuses_us(postgresql: Server, kind: str, driver: str, what: str) -> None:
    """A 503: to a client it is all the same what is wrong with our URL."""
    refused(postgresql, kind, driver, what)


@wrong(MARIADB)
def test_mariadb_that_refuses_us(mariadb: Server, kind: str, driver: str, what: str) -> None:
    """A 503: to a client it is all the same what is wrong with our URL."""
    refused(mariadb, kind, driver, what)


def refused(server: Server, kind: str, driver: str, what: str) -> None:
    url = server.url("postgres" if "postgresql" in driver else "mysql").set(drivername=driver, **WRONG[what])
    databases = ledgers({"first": url})

    with TestClient(application(databases, write), raise_server_exceptions=False) as client:
        assert UNAVAILABLE == told(client.post(f"/{kind}"))


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "expected"), [("POST", UNKNOWN), ("GET", UNAVAILABLE)])
def test_connection_lost_during_the_commit(
    postgresql: Server, postgresql_url: URL, open_ledgers: Open, driver: str, kind: str, method: str, expected: Any
) -> None:
    """Nobody knows whether it is committed, so nobody is told to repeat it; a reader may."""
    databases = open_ledgers(postgresql_url.set(drivername=driver))
    make_commits_slow(postgresql, postgresql_url.database)
    with (
        serve(application(databases, write)) as serving,
        serving.client() as client,
        while_committing(postgresql, postgresql_url.database, terminate),
    ):
        response = client.request(method, f"/{kind}")

    assert expected == told(response)


@pytest.mark.parametrize(("atomic", "answer"), [(True, NOT_TOGETHER), (False, IN_PART)])
@pytest.mark.parametrize("kind", KINDS)
def test_connection_lost_during_the_first_of_two_commits(
    postgresql: Server,
    create_database: Callable[[Server], URL],
    open_ledgers: Open,
    kind: str,
    atomic: bool,
    answer: object,
) -> None:
    """An atomic commit finds out that it did not happen; otherwise it may be carried out in part."""
    urls = [create_database(postgresql) for _ in range(2)]
    databases = open_ledgers(*urls)
    make_commits_slow(postgresql, urls[0].database)
    with (
        serve(application(databases, write, atomic=atomic)) as serving,
        serving.client() as client,
        while_committing(postgresql, urls[0].database, terminate),
    ):
        response = client.post(f"/{kind}")

    assert answer == told(response)


@pytest.mark.parametrize("kind", KINDS)
def test_serialization_failure(postgresql_url: URL, open_ledgers: Open, kind: str) -> None:
    """Both read before both write: one of them gets a 503 that says to try again, the other one succeeds."""
    databases = open_ledgers(postgresql_url)
    together = threading.Barrier(2)

    def read_and_write(session: Session) -> None:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        session.execute(select(ENTRY)).all()
        together.wait(20)
        session.execute(insert(ENTRY))

    assert [200, CONFLICT] == at_once(databases, kind, read_and_write)


@pytest.mark.parametrize("kind", KINDS)
def test_deadlock_on_postgresql(postgresql_url: URL, open_ledgers: Open, kind: str) -> None:
    """One of them gets a 503 that says to try again, the other one succeeds."""
    assert [200, CONFLICT] == deadlock(open_ledgers(postgresql_url), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_deadlock_on_mariadb(mariadb_url: URL, open_ledgers: Open, kind: str) -> None:
    """One of them gets a 503 that says to try again, the other one succeeds."""
    assert [200, CONFLICT] == deadlock(open_ledgers(mariadb_url), kind)


def deadlock(databases: Databases, kind: str) -> list[Any]:
    with Session(databases) as session, session.begin():
        session.execute(insert(ENTRY), [{"id": 1}, {"id": 2}])
    together, first = threading.Barrier(2), iter([(1, 2), (2, 1)])

    def lock_two_rows(session: Session) -> None:
        one, other = next(first)
        session.execute(update(ENTRY).where(ENTRY.c.id == one).values(account_id=None))
        together.wait(20)
        session.execute(update(ENTRY).where(ENTRY.c.id == other).values(account_id=None))

    return at_once(databases, kind, lock_two_rows)


def at_once(databases: Databases, kind: str, work: Callable[[Session], None]) -> list[Any]:
    """Two requests, each in an application of its own, as in two processes; the better answer first."""

    def post(_: int) -> Any:
        with serve(application(Databases(*databases), work)) as serving, serving.client() as client:
            response = client.post(f"/{kind}")
            return 200 if response.status_code == 200 else told(response)

    with ThreadPoolExecutor(2) as threads:
        return sorted(threads.map(post, range(2)), key=lambda answer: answer != 200)


@pytest.mark.parametrize("kind", KINDS)
def test_lock_that_is_not_free(postgresql_url: URL, open_ledgers: Open, kind: str) -> None:
    """A 503 that says to try again."""
    databases = open_ledgers(postgresql_url)

    def lock(session: Session) -> None:
        session.execute(text("LOCK TABLE entries NOWAIT"))

    with (
        TestClient(application(databases, lock), raise_server_exceptions=False) as client,
        Session(databases) as other,
    ):
        other.execute(text("LOCK TABLE entries"))
        assert CONFLICT == told(client.post(f"/{kind}"))


@pytest.mark.parametrize("kind", KINDS)
def test_row_that_is_there_already(server_url: URL, open_ledgers: Open, kind: str) -> None:
    """A 500 like any mistake of the program: what it means is for the program to say, with a handler of its own."""
    databases = open_ledgers(server_url)

    def write_twice(session: Session) -> None:
        session.execute(insert(ENTRY).values(id=1))
        session.execute(insert(ENTRY).values(id=1))

    with TestClient(application(databases, write_twice), raise_server_exceptions=False) as client:
        response = client.post(f"/{kind}")

    assert (500, "Internal Server Error") == (response.status_code, response.text)
