"""Recovery in the background of an application, with transactions that are really in doubt."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from sqlalchemy import URL

from manybase import AsyncSession, Databases, Session, decision
from manybase.recovering import recovering
from manybase.recovery import in_doubt, resolve, turn
from manybase.testing import fail_at
from tests.ledgers import ledgers, rows, write
from tests.servers.server import Server

KILLED = """
import sys
from sqlalchemy import make_url
from manybase import Session
from manybase.testing import fail_at
from tests.ledgers import ledgers, write

databases = ledgers({"first": make_url(sys.argv[2]), "second": make_url(sys.argv[3])})
with Session(databases) as session:
    write(session, "first", "second")
    with fail_at(sys.argv[1], kill=True):
        session.commit()
"""
SYNC = ("psycopg", "pymysql")
FACES = {"asyncio": ("psycopg", "asyncmy"), "asyncpg": ("asyncpg", "aiomysql"), "threads": ("psycopg2", "pymysql")}

Urls = Callable[..., dict[str, URL]]


@pytest.fixture
def urls(postgresql_url: URL, mariadb_url: URL, postgresql: Server, create_database: Callable[[Server], URL]) -> Urls:
    """Of a PostgreSQL and a MariaDB, or of two PostgreSQL databases, through these drivers."""
    other = create_database(postgresql)

    def make(drivers: tuple[str, str], second: str = "mysql") -> dict[str, URL]:
        first = postgresql_url.set(drivername=f"postgresql+{drivers[0]}")
        if second == "postgresql":
            return {"first": first, "second": other.set(drivername=first.drivername)}
        return {"first": first, "second": mariadb_url.set(drivername=f"mysql+{drivers[1]}")}

    return make


def kill_at(step: str, urls: dict[str, URL]) -> None:
    """A process that writes to both and is killed at this step of its commit."""
    arguments = [url.render_as_string(hide_password=False) for url in urls.values()]
    done = subprocess.run([sys.executable, "-c", KILLED, step, *arguments], capture_output=True, text=True)
    assert -9 == done.returncode, done.stderr


async def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not await asyncio.to_thread(happened):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("step", "expected"), [("all prepared", 0), ("committed", 1)])
@pytest.mark.parametrize("drivers", FACES.values(), ids=list(FACES))
@pytest.mark.parametrize("second", ["mysql", "postgresql"])
def test_killed_process(urls: Urls, second: str, drivers: tuple[str, str], step: str, expected: int) -> None:
    """What it has left is ended by another one that only runs, as it was decided."""
    observer = ledgers(urls(SYNC, second))
    observer.create_all()
    kill_at(step, urls(SYNC, second))
    assert 1 == len(in_doubt(observer))

    async def run() -> None:
        async with recovering(ledgers(urls(drivers, second)), every=0.2, min_age=0):
            await until(lambda: not in_doubt(observer))

    asyncio.run(run())

    with Session(observer) as session:
        assert {"first": expected, "second": expected} == rows(session)
    observer.dispose()


@pytest.mark.parametrize("face", FACES)
def test_hand_over(urls: Urls, monkeypatch: pytest.MonkeyPatch, face: str) -> None:
    """What this process could not finish is finished at once, however young, whichever thread it comes from."""
    monkeypatch.setattr("manybase.recovering.SOON", 0)
    databases = ledgers(urls(FACES[face]))
    observer = ledgers(urls(SYNC))
    observer.create_all()

    def commit(session: Session) -> None:
        write(session, "first", "second")
        with fail_at("finishing"):
            session.commit()

    def commit_in_thread() -> None:
        with Session(databases) as session:
            commit(session)

    async def run() -> None:
        async with recovering(databases, every=3600, min_age=3600):
            for _ in range(2):  # the first one may be found by the first pass
                if face == "threads":
                    await asyncio.to_thread(commit_in_thread)
                else:
                    async with AsyncSession(databases) as session:
                        await session.run_sync(commit)
                assert databases.unfinished.transactions
                await until(lambda: not databases.unfinished.transactions)
                assert [] == in_doubt(observer)
        await databases.adispose()

    asyncio.run(run())
    databases.dispose()

    with Session(observer) as session:
        assert {"first": 2, "second": 2} == rows(session)
    observer.dispose()


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_end_while_a_decision_is_awaited(urls: Urls, driver: str) -> None:
    """The block ends at once, and the server is rid of the statement that waited; the next pass ends the rest."""
    observer = ledgers(urls(SYNC, "postgresql"))
    observer.create_all()
    kill_at("all prepared", urls(SYNC, "postgresql"))
    (doubt,) = in_doubt(observer)
    record = decision.row(decision.POSTGRESQL, doubt.transaction_id, "abort", "", unless_there=False)

    def waits() -> bool:
        with observer.aside("first").connect() as connection:
            return bool(connection.exec_driver_sql(WAITING).scalar())

    async def run() -> float:
        async with recovering(ledgers(urls((driver, ""), "postgresql")), every=3600, min_age=0):
            await until(waits)
            leaving = time.monotonic()
        return time.monotonic() - leaving

    with observer.engine("first").connect() as undecided:
        undecided.exec_driver_sql(record)
        took = asyncio.run(run())
        asyncio.run(until(lambda: not waits()))
        undecided.rollback()

    assert took < 2
    assert ["rolled back"] == [each.ended for each in resolve(observer, min_age=0).resolutions]
    observer.dispose()


def leave_in_doubt(databases: Databases) -> str:
    """A committed transaction that is not finished in one database."""
    with Session(databases) as session:
        write(session, *databases.names)
        with fail_at("finishing"):
            session.commit()
    (transaction,) = databases.unfinished.transactions
    return transaction


@pytest.mark.parametrize("second", ["mysql", "postgresql"])
def test_turns(urls: Urls, monkeypatch: pytest.MonkeyPatch, second: str) -> None:
    """While somebody else is at it, whoever is polite leaves it; a named transaction is ended all the same."""
    monkeypatch.setattr("manybase.recovery.IMPOLITE", 1e9)
    databases = ledgers(urls(SYNC, second))
    databases.create_all()
    transaction = leave_in_doubt(databases)
    (doubt,) = in_doubt(databases)
    dialect = "postgresql" if str(databases[doubt.database].resolve_url()).startswith("postgresql") else "mysql"
    take, give_back = turn(dialect, databases.app, doubt.database)

    with databases.aside(doubt.database).connect() as somebody:
        assert somebody.exec_driver_sql(take).scalar()
        assert [] == resolve(databases, min_age=0.001, polite=True).resolutions
        somebody.exec_driver_sql(give_back)
        ended = resolve(databases, min_age=0.001, polite=True).resolutions

        assert [(transaction, "committed")] == [(each.transaction_id, each.ended) for each in ended]
        assert somebody.exec_driver_sql(take).scalar()
    databases.dispose()


def test_turn_that_lasts_too_long(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for a lock that a pooler may have kept."""
    monkeypatch.setattr("manybase.recovery.IMPOLITE", 0)
    databases = ledgers(urls(SYNC, "postgresql"))
    databases.create_all()
    leave_in_doubt(databases)
    (doubt,) = in_doubt(databases)
    take, _ = turn("postgresql", databases.app, doubt.database)

    with databases.aside(doubt.database).connect() as somebody:
        assert somebody.exec_driver_sql(take).scalar()
        ended = resolve(databases, min_age=0.001, polite=True).resolutions

    assert ["committed"] == [each.ended for each in ended]
    databases.dispose()
