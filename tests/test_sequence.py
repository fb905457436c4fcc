"""Commits with atomic=False: in declaration order, and the truth when they tear. On SQLite files."""

import random

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, InvalidRequestError

from manybase import CommitError, PartialCommitError, Session
from tests.ledgers import ENTRIES, NAMES, rows, write, write_what_cannot_be_committed
from tests.sequences import databases, run
from tests.sessions import Run, another

__all__ = ["databases", "run"]


def test_commit_that_succeeds(run: Run) -> None:
    """All databases have their rows."""

    def body(session: Session) -> dict[str, int]:
        write(session, *NAMES)
        session.commit()
        return rows(session)

    assert {"first": 1, "second": 1, "third": 1} == run(body)


def test_first_database_fails(run: Run) -> None:
    """SQLAlchemy's own error passes, and nothing is committed anywhere."""

    def body(session: Session) -> dict[str, int]:
        write(session, "third", "second")
        write_what_cannot_be_committed(session, "first")
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 0, "third": 0} == run(body)


def test_second_database_fails(run: Run) -> None:
    """The error says what is committed and what is rolled back, and so it is."""

    def body(session: Session) -> PartialCommitError:
        write(session, "third", "first")
        write_what_cannot_be_committed(session, "second")
        with pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        assert {"first": 1, "second": 0, "third": 0} == rows(session)
        return caught.value

    error = run(body)
    assert (("first",), ("second", "third"), ()) == (error.committed, error.rolled_back, error.unknown)
    assert "Committed: first. Rolled back: second, third. Do not retry" in str(error)
    assert "partly committed" == error.outcome
    assert isinstance(error, CommitError)
    assert isinstance(error, InvalidRequestError)
    assert isinstance(error.__cause__, IntegrityError)


def test_what_is_rolled_back_when_the_error_is_raised(run: Run) -> None:
    """It is rolled back already: nothing holds a lock until the session gets round to its own rollback()."""

    def body(session: Session) -> dict[str, int]:
        write(session, *NAMES)
        write_what_cannot_be_committed(session, "second")
        with pytest.raises(PartialCommitError):
            session.commit()
        with another(session, atomic=False) as other:
            write(other, *NAMES)
            other.commit()
        session.rollback()
        return rows(session)

    assert {"first": 2, "second": 1, "third": 1} == run(body)


def test_last_database_fails(run: Run) -> None:
    """Those before it are committed."""

    def body(session: Session) -> tuple[str, ...]:
        write(session, "second", "first")
        write_what_cannot_be_committed(session, "third")
        with pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        assert {"first": 1, "second": 1, "third": 0} == rows(session)
        return caught.value.committed

    assert ("first", "second") == run(body)


def test_whatever_the_order_of_use(run: Run) -> None:
    """Declaration order, each of thirty times (SQLAlchemy's own order is arbitrary)."""

    def body(session: Session) -> dict[str, int]:
        order = [*NAMES]
        for number in range(30):
            random.Random(number).shuffle(order)
            write(session, *order)
            write_what_cannot_be_committed(session, "second")
            with pytest.raises(PartialCommitError):
                session.commit()
            session.rollback()
        return rows(session)

    assert {"first": 30, "second": 0, "third": 0} == run(body)


def test_only_one_database(run: Run) -> None:
    """There is nothing to tear: its commit is SQLAlchemy's own, without any hook of ours."""

    def body(session: Session) -> dict[str, int]:
        write(session, "second")
        connection = session.connection(bind_arguments={"database": "second"})
        assert [] == list(connection.dispatch.commit)
        session.commit()
        write_what_cannot_be_committed(session, "second")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 1, "third": 0} == run(body)


def test_database_that_is_only_read(run: Run) -> None:
    """It ends with the others; a failure elsewhere is told all the same."""

    def body(session: Session) -> PartialCommitError:
        session.execute(select(ENTRIES["first"])).all()
        write_what_cannot_be_committed(session, "second")
        with pytest.raises(PartialCommitError) as caught:
            session.commit()
        session.rollback()
        return caught.value

    assert ("second",) == run(body).rolled_back
