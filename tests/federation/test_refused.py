"""What cannot be right over several databases is refused before any SQL."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, exists, func, insert, literal_column, select, text, update
from sqlalchemy.orm import Session

from manybase import RoutingError
from tests.federation.judging import REFUSAL, expected_warnings
from tests.federation.models import Event, Kind, Tag, User
from tests.federation.worlds import WORLDS, Places, World, params
from tests.sessions import statements

pytestmark = expected_warnings
both = select(User.id, Event.id).join(Event, Event.user_id == User.id)
deleted = delete(Event).where(Event.id == 1).returning(Event.user_id).cte("deleted")

REFUSED: dict[str, Callable[[Session], Any]] = {
    "for update": lambda session: session.execute(both.with_for_update()),
    "for update of one": lambda session: session.execute(both.with_for_update(of=Event)),
    "update": lambda session: session.execute(
        update(User).where(User.id.in_(select(Event.user_id))).values(name="x"),
        execution_options={"synchronize_session": False},
    ),
    "update with a value from the other": lambda session: session.execute(
        update(User).values(name=select(func.max(Event.kind)).scalar_subquery()),
        execution_options={"synchronize_session": False},
    ),
    "delete": lambda session: session.execute(delete(Event).where(exists().where(User.id == Event.user_id))),
    "insert from select": lambda session: session.execute(
        insert(Tag).from_select(["id", "label"], select(Event.id, Event.kind))
    ),
    "legacy update": lambda session: session.query(User).filter(User.events.any()).update({"name": "x"}),
    "dml in a cte": lambda session: session.execute(
        select(User.id, deleted.c.user_id).join(deleted, deleted.c.user_id == User.id)
    ),
    "text in a condition": lambda session: session.execute(both.where(text("users.id > 3"))),
    "text in the order": lambda session: session.execute(both.order_by(text("users.id"))),
    "text among the columns": lambda session: session.execute(both.add_columns(literal_column("users.name"))),
    "text in a condition of a join": lambda session: session.execute(
        select(User.id, Event.id).join(Event, text("events.user_id = users.id"))
    ),
    "hint": lambda session: session.execute(both.prefix_with("/* hint */")),
    "unknown function of both": lambda session: session.execute(both.where(func.no_such(User.id, Event.id) > 1)),
    "operator that only a server knows": lambda session: session.execute(both.where(User.name.op("<->>")(Event.kind))),
}
several = pytest.mark.parametrize(("world", "asyncio"), params(WORLDS))


@several
@pytest.mark.parametrize("name", REFUSED)
def test_refused(places: Places, world: World, asyncio: bool, name: str) -> None:
    """Neither database hears of it, the error tells nothing secret, and the session goes on."""
    running = places.running(world, asyncio=asyncio)

    def body(session: Session) -> tuple[Any, ...]:
        session.scalar(select(func.count(User.id)))
        with statements(running.databases) as ran, pytest.raises(REFUSAL) as refused:
            REFUSED[name](session)
        assert [] == ran
        assert "s3cret" not in str(refused.value)
        return session.scalar(select(func.count(User.id))), session.scalar(select(func.count(Event.id)))

    assert (60, 300) == running.run(body)


@several
def test_pinned_session(places: Places, world: World, asyncio: bool) -> None:
    """One that is pinned to a database joins with no other."""
    running = places.running(world, asyncio=asyncio)

    def body(session: Session) -> None:
        with statements(running.databases) as ran, pytest.raises(RoutingError):
            session.execute(both)
        assert [] == ran

    running.run(body, database="shop")


@several
def test_named_database(places: Places, world: World, asyncio: bool) -> None:
    """A statement over several databases is not sent to one of them because somebody names it."""

    def body(session: Session) -> None:
        with pytest.raises(RoutingError):
            session.execute(both, bind_arguments={"database": "shop"})

    places.running(world, asyncio=asyncio).run(body)


@several
def test_refused_statement_leaves_the_work(places: Places, world: World, asyncio: bool) -> None:
    """What the session had flushed before stays in its transaction."""

    def body(session: Session) -> str | None:
        session.add(Kind(a=77, b="x", title="mine", worth=1))
        session.flush()
        with pytest.raises(REFUSAL):
            session.execute(both.with_for_update())
        return session.scalar(select(Kind.title).where(Kind.a == 77))

    assert "mine" == places.running(world, asyncio=asyncio).run(body)
