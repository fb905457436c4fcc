"""Savepoints over two databases."""

from typing import Any

import pytest
from sqlalchemy import insert, select

from manybase import Session
from tests.sessions import Run, another, committed
from tests.shop import Entry, Event, User


def counts(session: Session) -> list[int]:
    tables = {"shop": "users", "analytics": "events", "audit": "entries"}
    return [committed(session, database, table) for database, table in tables.items()]


def test_savepoint_over_two_databases(run: Run) -> None:
    """Rolling it back undoes it in both; what came before and after is committed in both."""

    def body(session: Session) -> list[int]:
        session.add_all([User(name="before"), Event(kind="before")])
        session.flush()
        inside = session.begin_nested()
        session.add_all([User(name="inside"), Event(kind="inside")])
        session.flush()
        inside.rollback()
        session.add_all([User(name="after"), Event(kind="after")])
        session.commit()
        return [*session.scalars(select(User.name).order_by(User.id)), *session.scalars(select(Event.kind))]

    assert ["before", "after", "before", "after"] == run(body)


def test_savepoint_that_is_kept(run: Run) -> None:
    """It is committed with the transaction, in both databases."""

    def body(session: Session) -> list[int]:
        with session.begin_nested():
            session.add_all([User(name="ann"), Event(kind="view")])
        session.commit()
        return counts(session)

    assert [1, 1, 0] == run(body)


def test_database_first_used_inside_the_savepoint(run: Run) -> None:
    """It takes part in the savepoint, and in the commit."""

    def body(session: Session) -> list[int]:
        session.add(User(name="before"))
        session.flush()
        kept = session.begin_nested()
        session.add(Event(kind="kept"))
        session.flush()
        kept.commit()
        undone = session.begin_nested()
        session.add(Entry(what="undone"))
        session.flush()
        undone.rollback()
        session.commit()
        return counts(session)

    assert [1, 1, 0] == run(body)


@pytest.mark.parametrize("kept", [True, False])
def test_first_statement_of_a_database_is_a_savepoint(run: Run, kept: bool) -> None:
    """Releasing it commits nothing: the outer rollback undoes it (Python's sqlite3 opens no transaction for it)."""

    def body(session: Session) -> list[int]:
        nested = session.begin_nested()
        session.add_all([User(name="ann"), Event(kind="view")])
        session.flush()
        nested.commit() if kept else nested.rollback()
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_savepoint_after_reading_only(run: Run) -> None:
    """A SELECT opens no transaction in Python's sqlite3 either."""

    def body(session: Session) -> list[int]:
        session.scalars(select(User)).all()
        with session.begin_nested():
            session.execute(insert(User.__table__).values(name="ann", kind="user"))
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_savepoint_in_a_savepoint(run: Run) -> None:
    """The inner one is undone, the outer one is not."""

    def body(session: Session) -> list[Any]:
        with session.begin_nested():
            session.add(User(name="outer"))
            inner = session.begin_nested()
            session.add_all([User(name="inner"), Event(kind="inner")])
            inner.rollback()
            session.add(Event(kind="outer"))
        session.commit()
        return [*session.scalars(select(User.name)), *session.scalars(select(Event.kind))]

    assert ["outer", "outer"] == run(body)


def test_objects_after_the_savepoint_was_rolled_back(run: Run) -> None:
    """What was added in it is gone from the session, what was changed in it is read anew."""

    def body(session: Session) -> list[Any]:
        user = User(name="ann")
        session.add(user)
        session.flush()
        nested = session.begin_nested()
        user.name = "bob"
        event = Event(kind="view")
        session.add(event)
        session.flush()
        nested.rollback()
        return [user.name, event in session]

    assert ["ann", False] == run(body)


def test_begin_nested_of_a_second_session(run: Run) -> None:
    """Savepoints of two sessions are of two transactions."""

    def body(session: Session) -> list[int]:
        with session.begin_nested():
            session.add(Event(kind="one"))
        session.rollback()
        with another(session) as other:
            with other.begin_nested():
                other.add(Event(kind="two"))
            other.commit()
        return counts(session)

    assert [0, 1, 0] == run(body)
