"""Commits that fail before anything is decided: no connection goes back to its pool in the middle of a transaction."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import PendingRollbackError

from manybase import Database, Databases, Session, sequence
from manybase.slots import Ticket
from manybase.testing import Failure, fail_at
from tests.forks import in_child
from tests.ledgers import ENTRIES, METADATA, write
from tests.sessions import Run, SessionKind, another, assert_idle

again_and_again = pytest.mark.parametrize("attempt", range(5))  # SQLAlchemy commits connections in arbitrary order


@pytest.fixture
def databases(tmp_path: Path) -> Databases:
    """A file, and a database in memory."""
    return Databases(
        Database("first", f"sqlite:///{tmp_path}/first.db", models=METADATA["first"]),
        Database("second", "sqlite://", models=METADATA["second"]),
    )


def next_one_commits(session: Session) -> int:
    """What another session that commits makes of what it finds in the pools."""
    with another(session) as other:
        found = len(other.execute(select(ENTRIES["first"])).all())
        other.commit()
    return found


@again_and_again
@pytest.mark.parametrize("end", [Session.close, Session.rollback])
def test_connection_that_was_lost_before(run: Run, end: Callable[[Session], None], attempt: int) -> None:
    """The other one is rolled back, whoever uses it next."""

    def body(session: Session) -> int:
        write(session, "first", "second")
        session.connection(bind_arguments={"database": "second"}).invalidate()
        with pytest.raises(PendingRollbackError):
            session.commit()
        end(session)
        return next_one_commits(session)

    assert 0 == run(body)


@again_and_again
def test_interruption_of_a_rollback(run: Run, monkeypatch: pytest.MonkeyPatch, attempt: int) -> None:
    """The connection is thrown away, and all others are rolled back all the same."""
    interrupted: list[Any] = []

    def interrupt(connection: Any) -> None:
        interrupted.append(connection)
        raise KeyboardInterrupt

    def fail(_: object) -> None:
        raise Failure

    def body(session: Session) -> int:
        write(session, "first", "second")
        dialect = session.connection(bind_arguments={"database": "second"}).dialect
        with monkeypatch.context() as patch:
            patch.setattr(dialect, "do_rollback", interrupt)
            patch.setattr(sequence, "commit_one", fail)
            with pytest.raises(KeyboardInterrupt):
                session.commit()
        session.close()
        return next_one_commits(session)

    assert 0 == run(body)
    assert interrupted


def test_failure_inside_rollback(session_kind: SessionKind, databases: Databases) -> None:
    """Where `fail_at` cannot strike, it says so, and nothing stays open."""
    from manybase import ConfigurationError
    from manybase.testing import rollback

    def body(session: Session) -> int:
        with rollback(databases), fail_at("deciding"), another(session) as inside:
            write(inside, "first", "second")
            with pytest.raises(ConfigurationError, match="cannot strike inside rollback"):
                inside.commit()
            inside.rollback()
        return next_one_commits(session)

    if not session_kind.asyncio:  # an event loop wants `async with rollback(...)`, which changes nothing here
        assert 0 == session_kind.run(databases, body)


def test_forked_child_while_others_commit(databases: Databases) -> None:
    """It has slots of its own for what it prepares."""
    slots = databases.prepared_slots()
    slots.bound("server", 1)
    assert slots.try_take({"server": 1})

    def child() -> bool:
        mine = databases.prepared_slots()
        mine.bound("server", 1)
        return Ticket(mine, {"server": 1}, 1).take_at_once()

    assert "True" == in_child(child)


def test_rows_that_were_never_committed(run: Run, tmp_path: Path) -> None:
    """They are not in the file, whatever order the connections were committed in."""

    def body(session: Session) -> None:
        session.execute(insert(ENTRIES["first"]).values(account_id=None))
        session.connection(bind_arguments={"database": "second"}).invalidate()
        with pytest.raises(PendingRollbackError):
            session.commit()
        session.close()
        assert_idle(session.databases, asyncio=session._asyncio)

    run(body)
    with sqlite3.connect(tmp_path / "first.db") as file:
        assert (0,) == file.execute("SELECT count(*) FROM entries").fetchone()
    file.close()
