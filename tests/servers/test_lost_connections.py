"""Commits with atomic=False that lose a server in the middle: what is committed, and what cannot be known."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from manybase import AsyncSession, Databases, PartialCommitError, Session
from tests.ledgers import ledgers, rows, write, write_what_cannot_be_committed
from tests.servers.killing import (
    kill_connection,
    make_commits_slow,
    terminate,
    wait_for_commit,
    while_committing,
)
from tests.servers.mixed import Drivers, every_driver
from tests.servers.server import Server
from tests.sessions import assert_idle

MakeLedgers = Callable[..., Databases]


@every_driver
@pytest.mark.parametrize("place", ["first", "second", "third"])
def test_backend_that_is_terminated_during_its_commit(
    make_ledgers: MakeLedgers, drivers: Drivers, postgresql: Server, postgresql_url: URL, place: str
) -> None:
    """Whether it is committed is unknown, and the error says so; those before it are, those after it are not."""
    names = ["first", "second", "third"]
    backends = ["mariadb", "sqlite"]
    backends.insert(names.index(place), "postgresql")
    before, after = names[: names.index(place)], names[names.index(place) + 1 :]

    def body(session: Session) -> PartialCommitError:
        make_commits_slow(postgresql, postgresql_url.database)
        write(session, *reversed(names))
        watching = while_committing(postgresql, postgresql_url.database, terminate)
        with watching, pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        assert {name: int(name in before) for name in names} == rows(session)
        return caught.value

    error = drivers.kind.run(make_ledgers(drivers, *backends), body, atomic=False)
    assert (tuple(before), tuple(after), (place,)) == (error.committed, error.rolled_back, error.unknown)
    assert f"Unknown, the connection was lost during COMMIT: {place}." in str(error)
    assert isinstance(error.__cause__, DBAPIError)
    assert error.__cause__.connection_invalidated


@every_driver
@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
def test_connection_that_is_lost_before_the_commit(
    make_ledgers: MakeLedgers, drivers: Drivers, request: pytest.FixtureRequest, backend: str
) -> None:
    """COMMIT is not answered, so it counts as unknown; afterwards the session works on new connections."""
    server: Server = request.getfixturevalue(backend)

    def body(session: Session) -> PartialCommitError:
        write(session, "first", "second")
        kill_connection(server, session, "second")
        with pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        write(session, "first", "second")
        session.commit()
        assert {"first": 2, "second": 1} == rows(session)
        return caught.value

    error = drivers.kind.run(make_ledgers(drivers, "sqlite", backend), body, atomic=False)
    assert (("first",), (), ("second",)) == (error.committed, error.rolled_back, error.unknown)


@every_driver
def test_connection_that_is_lost_when_an_earlier_one_fails(
    make_ledgers: MakeLedgers, drivers: Drivers, mariadb: Server
) -> None:
    """Its rollback cannot be sent: it rolled back by itself, and the first error is the one that is told."""

    def body(session: Session) -> dict[str, int]:
        write_what_cannot_be_committed(session, "first")
        write(session, "second")
        kill_connection(mariadb, session, "second")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 0} == drivers.kind.run(
        make_ledgers(drivers, "postgresql", "mariadb"), body, atomic=False
    )


@every_driver
def test_server_that_is_killed_during_its_commit(
    make_ledgers: MakeLedgers, drivers: Drivers, private_postgresql: Server, postgresql_url: URL
) -> None:
    """kill -9 in the middle of COMMIT: unknown; once the server is back the same session works without a restart."""
    server = private_postgresql

    def body(session: Session) -> PartialCommitError:
        make_commits_slow(server, postgresql_url.database)
        write(session, "first", "second", "third")
        watching = while_committing(server, postgresql_url.database, lambda *_: server.kill())
        with watching, pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        server.start()
        assert {"first": 1, "second": 0, "third": 0} == rows(session)
        return caught.value

    error = drivers.kind.run(make_ledgers(drivers, "mariadb", "postgresql", "sqlite"), body, atomic=False)
    assert (("first",), ("third",), ("second",)) == (error.committed, error.rolled_back, error.unknown)


@every_driver
def test_only_server_whose_connection_is_lost(make_ledgers: MakeLedgers, drivers: Drivers, postgresql: Server) -> None:
    """With one participant SQLAlchemy's own error passes."""

    def body(session: Session) -> Any:
        write(session, "second")
        kill_connection(postgresql, session, "second")
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 0} == drivers.kind.run(
        make_ledgers(drivers, "sqlite", "postgresql"), body, atomic=False
    )


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_task_that_is_cancelled_during_a_commit(
    postgresql: Server, postgresql_url: URL, sqlite_url: URL, driver: str
) -> None:
    """It stays cancelled; the note says what is committed, what is not, and what cannot be known."""
    urls = {
        "first": sqlite_url,
        "second": postgresql_url.set(drivername=f"postgresql+{driver}"),
        "third": sqlite_url.set(database=f"{sqlite_url.database}3"),
    }
    databases = ledgers(urls)

    async def commit() -> None:
        async with AsyncSession(databases, atomic=False) as session:
            await session.run_sync(write, "third", "second", "first")
            await session.commit()

    async def main() -> dict[str, int]:
        await databases.acreate_all()
        make_commits_slow(postgresql, postgresql_url.database)
        task = asyncio.create_task(commit())
        await asyncio.to_thread(wait_for_commit, postgresql, postgresql_url.database)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "Committed: first. Rolled back: third. Unknown" in caught.value.__notes__[0]
        assert_idle(databases, asyncio=True)
        async with AsyncSession(databases, atomic=False) as session:
            found = await session.run_sync(rows)
        await databases.adispose()
        return found

    found = asyncio.run(main())
    assert (1, 0) == (found["first"], found["third"])
