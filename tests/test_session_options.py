"""A database that is named for one statement: it holds for that statement, not for the loads that follow from it."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Query, joinedload, selectinload

from manybase import Session
from tests.sessions import Run, statements, where
from tests.shop import Event, User, ann

NAMED: dict[str, dict[str, Any]] = {
    "call": {"execution_options": {"database": "shop"}},
    "bind_arguments": {"bind_arguments": {"database": "shop"}},
    "statement": {},
}


def users(named: str, *options: Any) -> Any:
    statement = select(User).options(*options)
    return statement.execution_options(database="shop") if named == "statement" else statement


@pytest.mark.parametrize("named", NAMED)
def test_selectinload(run: Run, named: str) -> None:
    """The second SELECT goes to the other database, and the third one back."""

    def body(session: Session) -> list[str | None]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        statement = users(named, selectinload(User.events).selectinload(Event.clicks), selectinload(User.orders))
        with statements(session.databases) as ran:
            session.scalars(statement, **NAMED[named]).one()
        return sorted(map(str, where(ran)))

    assert ["analytics", "analytics", "shop", "shop"] == run(body)


@pytest.mark.parametrize("named", NAMED)
def test_lazy_load(run: Run, named: str) -> None:
    """An attribute that is touched later goes to its own database, a deferred or expired column too."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        user = session.scalars(users(named), **NAMED[named]).one()
        found = [event.kind for event in user.events]
        session.expire(user.events[0])
        return [*found, user.events[0].kind, user.events[0].user.name]

    assert ["view", "buy", "view", "ann"] == run(body)


@pytest.mark.parametrize("named", NAMED)
def test_refresh_of_what_is_there_already(run: Run, named: str) -> None:
    """populate_existing reads both databases anew, each where it is."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        statement = users(named, selectinload(User.events)).execution_options(populate_existing=True)
        user = session.scalars(statement, **NAMED[named]).one()
        return [event.kind for event in user.events]

    assert ["view", "buy"] == run(body)


def test_get_with_options(run: Run) -> None:
    """get(), refresh() and merge() take execution options and bind arguments, as SQLAlchemy's do."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        named = {"execution_options": {"database": "shop"}}
        user = session.get(User, 1, options=[selectinload(User.events)], **named)
        first = [len(user.events) if user else None]
        session.expunge_all()
        user = session.get(User, 1, bind_arguments={"database": "shop"}, options=[joinedload(User.orders)])
        return [*first, len(user.events) if user else None]

    assert [2, 2] == run(body)


def test_legacy_query_with_options(run: Run) -> None:
    """Query.execution_options() is heard, and does not leak."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        query: Query[User] = session.query(User).execution_options(database="shop").options(selectinload(User.events))
        user = query.one()
        return [len(user.events), len(user.orders)]

    assert [2, 2] == run(body)


def test_other_options_reach_the_loads(run: Run) -> None:
    """Only the database's name stays behind: what else is said goes along, as in SQLAlchemy."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        options = {"database": "shop", "mine": 1}
        seen = []
        for name in ("shop", "analytics"):
            connection = session.connection(bind_arguments={"database": name})
            seen.append(connection)
        user = session.scalars(users("call", selectinload(User.events)), execution_options=options).one()
        return [len(seen), len(user.events)]

    assert [2, 2] == run(body)


def test_isolation_level_of_one_database(run: Run) -> None:
    """connection() passes its execution options to the connection of the database it names, and to no other."""

    def body(session: Session) -> list[Any]:
        session.connection(bind_arguments={"database": "shop"}, execution_options={"isolation_level": "SERIALIZABLE"})
        options = [
            session.connection(bind_arguments={"database": name}).get_execution_options() for name in ("shop", "audit")
        ]
        return [each.get("isolation_level") for each in options]

    assert ["SERIALIZABLE", None] == run(body)
