"""Statements over two databases: refused with the names of tables and databases before any SQL has run."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, exists, func, insert, lateral, literal, select, union, update
from sqlalchemy.orm import aliased, contains_eager, joinedload, with_loader_criteria

from manybase import CrossDatabaseError, Session
from tests.sessions import Run, statements
from tests.shop import Entry, Event, Order, User

other = aliased(Event)

SELECTS: dict[str, Callable[[], Any]] = {
    "join": lambda: select(User).join(User.events),
    "outer join": lambda: select(User).outerjoin(Event, Event.user_id == User.id),
    "two entities": lambda: select(User, Event).where(Event.user_id == User.id),
    "columns": lambda: select(User.name, Event.kind),
    "joinedload": lambda: select(User).options(joinedload(User.events)),
    "contains_eager": lambda: select(User).join(User.events).options(contains_eager(User.events)),
    "any()": lambda: select(User).where(User.events.any(Event.kind == "buy")),
    "has()": lambda: select(Event).where(Event.user.has(name="ann")),
    "in_(select)": lambda: select(User).where(User.id.in_(select(Event.user_id))),
    "exists": lambda: select(User).where(exists().where(Event.user_id == User.id)),
    "not exists": lambda: select(User).where(~select(Event).where(Event.user_id == User.id).exists()),
    "scalar subquery": lambda: select(User.name, select(func.count(Event.id)).scalar_subquery()),
    "subquery": lambda: select(User).join(one := select(Event.user_id).subquery(), one.c.user_id == User.id),
    "aliased": lambda: select(User).join(other, other.user_id == User.id),
    "lateral": lambda: select(User, lateral(select(Event).where(Event.user_id == User.id))),
    "cte": lambda: select(User).join(one := select(Event.user_id).cte(), one.c.user_id == User.id),
    "union": lambda: union(select(User.id), select(Event.id)),
    "loader criteria": lambda: select(User).options(
        with_loader_criteria(User, User.id.in_(select(Event.user_id)), include_aliases=True)
    ),
    "dml cte": lambda: select(User.id, insert(Event).values(kind="x").returning(Event.id).cte().c.id),
    "from_statement": lambda: select(User).from_statement(select(User).join(Event, Event.user_id == User.id)),
    "order by": lambda: select(User).order_by(select(func.max(Event.id)).scalar_subquery()),
    "core": lambda: select(User.__table__.c.id).join(Event.__table__, Event.user_id == User.id),
}

WRITES: dict[str, Callable[[], Any]] = {
    "update in": lambda: update(User).where(User.id.in_(select(Event.user_id))).values(name="x"),
    "update from": lambda: update(User).where(User.id == Event.user_id).values(name=Event.kind),
    "update to a subquery": lambda: update(User).values(name=select(func.max(Event.kind)).scalar_subquery()),
    "delete using": lambda: delete(Order).where(Order.user_id == Event.user_id),
    "delete exists": lambda: delete(Order).where(exists().where(Order.user_id == Event.user_id)),
    "insert from select": lambda: insert(Order).from_select(["user_id"], select(Event.user_id)),
    "insert of a subquery": lambda: insert(User).values(name=select(func.max(Event.kind)).scalar_subquery()),
    "update by a cte": lambda: (
        update(User).where(User.id.in_(select(select(Event.user_id).cte().c.user_id))).values(name="x")
    ),
}


def refused(session: Session, run_it: Callable[[], Any]) -> CrossDatabaseError:
    """The error; nothing was sent to any server, and no connection was taken for it."""
    with statements(session.databases) as ran, pytest.raises(CrossDatabaseError) as caught:
        run_it()
    assert [] == ran
    assert {} == session._enlisted.connections
    return caught.value


@pytest.mark.parametrize("shape", SELECTS)
def test_select(run: Run, shape: str) -> None:
    """No SQL runs, and the error names both databases, a table of each, and what to do instead."""

    def body(session: Session) -> CrossDatabaseError:
        return refused(session, lambda: session.execute(SELECTS[shape]()))

    error = run(body)
    assert {"analytics": ("events",), "shop": ("users",)} == error.tables
    assert "Run one statement per database" in str(error)


@pytest.mark.parametrize("shape", WRITES)
def test_write(run: Run, shape: str) -> None:
    """No SQL runs, whatever the way to synchronise the session."""

    def body(session: Session) -> CrossDatabaseError:
        return refused(session, lambda: session.execute(WRITES[shape]()))

    error = run(body)
    assert ("analytics", "shop") == error.databases
    assert "fetch the keys first" in str(error)


def test_write_that_would_first_look_for_its_rows(run: Run) -> None:
    """SQLAlchemy's SELECT of the rows to change, which one database could answer, does not run either."""

    def body(session: Session) -> None:
        statement = (
            update(User)
            .where(User.id.in_(select(Order.user_id)))
            .values(name=select(func.max(Event.kind)).scalar_subquery())
        )
        refused(session, lambda: session.execute(statement, execution_options={"synchronize_session": "fetch"}))

    run(body)


def test_three_databases(run: Run) -> None:
    """All are named, in order."""

    def body(session: Session) -> CrossDatabaseError:
        return refused(session, lambda: session.execute(select(User.id, Entry.id, Event.id, literal(1))))

    error = run(body)
    assert "(analytics: events; audit: entries; shop: users)" in str(error)


@pytest.mark.parametrize("call", ["scalar", "scalars", "execute", "query"])
def test_every_way_to_run_a_statement(run: Run, call: str) -> None:
    """None of them is a way around."""

    def body(session: Session) -> None:
        statement = select(User.id).join(User.events)
        calls = {
            "scalar": lambda: session.scalar(statement),
            "scalars": lambda: session.scalars(statement),
            "execute": lambda: session.execute(statement),
            "query": lambda: session.query(User).join(User.events).count(),
        }
        refused(session, calls[call])

    run(body)


def test_refused_statement_after_changes(run: Run) -> None:
    """The error leaves the transaction and the session's objects as they were."""

    def body(session: Session) -> list[str]:
        session.add(User(name="ann"))
        session.flush()
        session.add(User(name="bob"))
        with pytest.raises(CrossDatabaseError):
            session.execute(select(User).join(User.events))
        session.commit()
        return list(session.scalars(select(User.name).order_by(User.name)))

    assert ["ann", "bob"] == run(body)


def test_naming_one_of_the_databases(run: Run) -> None:
    """It does not make a statement over two databases run in one."""

    def body(session: Session) -> None:
        statement = select(User.id).join(User.events)
        refused(session, lambda: session.execute(statement, bind_arguments={"database": "shop"}))
        refused(session, lambda: session.execute(statement.execution_options(database="shop")))

    run(body)
