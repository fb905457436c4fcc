"""Commits and what else has a hand in a connection: its caller, another engine, events, locks, an interrupt."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError

from manybase import Databases, PartialCommitError, Session
from tests.ledgers import ENTRIES, NAMES, ledgers, rows, write, write_what_cannot_be_committed
from tests.sequences import databases, run
from tests.sessions import Run, SessionKind

__all__ = ["databases", "run"]


def test_connection_of_the_callers_own(run: Run) -> None:
    """A connection that brings its own transaction is left for the caller to commit or roll back."""

    def body(session: Session) -> list[Any]:
        bind: Any = session.databases.bind("second", asyncio=session._asyncio)
        with bind.connect() as connection:
            outer = connection.begin()
            mine: dict[str, Any] = {"bind": connection}
            session.execute(ENTRIES["second"].insert().values(account_id=None), bind_arguments=mine)
            write(session, "first", "third")
            session.commit()
            before = rows(session)
            outer.commit()
        return [before, rows(session)]

    assert [{"first": 1, "second": 0, "third": 1}, {"first": 1, "second": 1, "third": 1}] == run(body)


def test_engine_that_is_not_declared(databases: Databases, tmp_path: Any) -> None:
    """One that the caller names in bind_arguments is committed last, and rolled back when another one fails."""
    databases.create_all()
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    count = text("SELECT count(*) FROM notes")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))

    def note(session: Session) -> None:
        session.execute(text("INSERT INTO notes VALUES (1)"), bind_arguments={"bind": engine})

    with Session(databases, atomic=False) as session:
        note(session)
        write(session, "third")
        session.commit()
        note(session)
        write(session, "first")
        write_what_cannot_be_committed(session, "third")
        with pytest.raises(PartialCommitError, match="Rolled back: third, undeclared engine"):
            session.commit()

    with engine.connect() as connection:
        assert 1 == connection.scalar(count)
    engine.dispose()
    databases.dispose()


def test_interrupt_during_a_commit(run: Run) -> None:
    """Ctrl-C stays KeyboardInterrupt, with a note that says what is committed; what was not reached is rolled back."""

    def body(session: Session) -> list[str]:
        write(session, *NAMES)
        connection = session.connection(bind_arguments={"database": "second"})
        connection.dialect = Interrupting(connection.dialect)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt) as caught:
            session.commit()
        session.rollback()
        assert {"first": 1, "second": 0, "third": 0} == rows(session)
        return list(caught.value.__notes__)

    (note,) = run(body)
    assert "Committed: first. Rolled back: third. Unknown" in note
    assert note.rstrip().endswith("repair the difference.")


class Interrupting:
    """A dialect whose COMMIT is interrupted before it is sent."""

    def __init__(self, dialect: Any) -> None:
        self.dialect = dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dialect, name)

    def do_commit(self, connection: Any) -> None:
        raise KeyboardInterrupt


def test_commit_events_of_the_users_own(session_kind: SessionKind, databases: Databases) -> None:
    """SQLAlchemy's engine events fire once for each database, in whatever order."""
    heard: list[str | None] = []

    def note(name: str, connection: Connection) -> None:
        heard.append(name)

    def body(session: Session) -> None:
        for name in NAMES:
            event.listen(databases.bind(name, asyncio=session_kind.asyncio), "commit", partial(note, name))
        write(session, "third", "first")
        session.commit()

    session_kind.run(databases, body, atomic=False)
    assert ["first", "third"] == sorted(map(str, heard))


def test_locked_database(session_kind: SessionKind, tmp_path: Any) -> None:
    """A file that another process reads cannot be committed in time: an error of the driver, told as any other."""
    declared = ledgers(
        {name: f"sqlite:///{tmp_path / name}.db" for name in ("first", "second")},
        engine_options={"connect_args": {"timeout": 0.05}},
    )

    def body(session: Session) -> tuple[str, ...]:
        reader: Any = session.databases.bind("second", asyncio=session._asyncio)
        write(session, "second", "first")
        with reader.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.execute(select(ENTRIES["second"])).all()
            with pytest.raises(PartialCommitError) as caught:
                session.commit()
            connection.exec_driver_sql("ROLLBACK")
        session.rollback()
        assert isinstance(caught.value.__cause__, DBAPIError)
        assert {"first": 1, "second": 0} == rows(session)
        return caught.value.rolled_back

    assert ("second",) == session_kind.run(declared, body, atomic=False)
