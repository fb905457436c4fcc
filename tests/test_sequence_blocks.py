"""Commits at the end of a block, after savepoints, and in a session that goes on."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError

from manybase import AsyncSession, Databases, PartialCommitError, Session
from tests.ledgers import ENTRIES, NAMES, rows, write, write_what_cannot_be_committed
from tests.sequences import databases, run
from tests.sessions import Run, assert_idle

__all__ = ["databases", "run"]


def test_session_after_a_torn_commit(run: Run) -> None:
    """After rollback() it works on; before that it says that it must be rolled back, as SQLAlchemy's does."""

    def body(session: Session) -> dict[str, int]:
        write(session, "first")
        write_what_cannot_be_committed(session, "second")
        with pytest.raises(PartialCommitError):
            session.commit()
        with pytest.raises(InvalidRequestError, match="prepared"):
            session.execute(select(ENTRIES["first"]))
        session.rollback()
        write(session, *NAMES)
        session.commit()
        return rows(session)

    assert {"first": 2, "second": 1, "third": 1} == run(body)


def test_torn_commit_of_a_begin_block(run: Run) -> None:
    """`with session.begin()` raises the same error, and leaves the session ready for the next block."""

    def body(session: Session) -> dict[str, int]:
        with pytest.raises(PartialCommitError):
            tear_in_a_block(session)
        with session.begin():
            write(session, "third")
        return rows(session)

    assert {"first": 1, "second": 0, "third": 1} == run(body)


def tear_in_a_block(session: Session) -> None:
    with session.begin():
        write(session, "first", "third")
        write_what_cannot_be_committed(session, "second")


def test_torn_commit_of_an_async_begin_block(databases: Databases) -> None:
    """`async with session.begin()` does the same."""

    async def tear(session: AsyncSession) -> None:
        async with session.begin():
            await session.run_sync(write, "first", "third")
            await session.run_sync(write_what_cannot_be_committed, "second")

    async def main() -> dict[str, int]:
        await databases.acreate_all()
        async with AsyncSession(databases, atomic=False) as session:
            with pytest.raises(PartialCommitError):
                await tear(session)
            async with session.begin():
                await session.run_sync(write, "third")
            found = await session.run_sync(rows)
        assert_idle(databases, asyncio=True)
        await databases.adispose()
        return found

    assert {"first": 1, "second": 0, "third": 1} == asyncio.run(main())


def test_torn_commit_of_a_sessionmaker_block(databases: Databases) -> None:
    """A closed session gives its connections back, whatever happened."""
    databases.create_all()
    session = Session(databases, atomic=False)
    write(session, "first")
    write_what_cannot_be_committed(session, "second")
    with pytest.raises(PartialCommitError):
        session.commit()
    session.close()

    assert_idle(databases, asyncio=False)
    assert {"first": 1, "second": 0, "third": 0} == rows(session)
    databases.dispose()


def test_one_database_after_several(run: Run) -> None:
    """What an earlier transaction of the session used has no say in the next one."""

    def body(session: Session) -> dict[str, int]:
        write(session, *NAMES)
        session.commit()
        write(session, "third")
        session.commit()
        write(session, "first", "third")
        session.rollback()
        return rows(session)

    assert {"first": 1, "second": 1, "third": 2} == run(body)


def test_savepoints_before_the_commit(run: Run) -> None:
    """A released savepoint commits nothing by itself."""

    def body(session: Session) -> dict[str, int]:
        with session.begin_nested():
            write(session, "third", "first")
        assert {"first": 0, "second": 0, "third": 0} == rows(session)
        session.commit()
        return rows(session)

    assert {"first": 1, "second": 0, "third": 1} == run(body)
