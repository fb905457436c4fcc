"""SELECTs over two databases: the rows that one database with all the tables would give."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import exists, func, lateral, literal, select, union
from sqlalchemy.orm import aliased, contains_eager, joinedload, subqueryload, with_loader_criteria

from manybase import Session
from tests.sessions import Run, assert_idle, statements, where
from tests.shop import Entry, Event, Order, User, ann

other = aliased(Event)
per_user = select(Event.user_id, func.count().label("events")).group_by(Event.user_id)

ANN, BOB = "User 1", "User 2"
VIEW, BUY = "Event 1", "Event 2"

SELECTS: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "join": (lambda: select(User).join(User.events), [ANN, ANN]),
    "outer join": (
        lambda: select(User, Event.kind).outerjoin(Event, Event.user_id == User.id),
        [(ANN, "buy"), (ANN, "view"), (BOB, None)],
    ),
    "outer join from the other side": (
        lambda: select(Event.kind, User).outerjoin(User, User.id == Event.user_id),
        [("buy", ANN), ("sold", None), ("view", ANN)],
    ),
    "two entities": (lambda: select(User, Event).where(Event.user_id == User.id), [(ANN, VIEW), (ANN, BUY)]),
    "columns": (
        lambda: select(User.name, Event.kind),
        [(name, kind) for name in ("ann", "bob") for kind in ("buy", "sold", "view")],
    ),
    "any()": (lambda: select(User).where(User.events.any(Event.kind == "buy")), [ANN]),
    "not any()": (lambda: select(User).where(~User.events.any()), [BOB]),
    "has()": (lambda: select(Event).where(Event.user.has(name="ann")), [VIEW, BUY]),
    "in_(select)": (lambda: select(User).where(User.id.in_(select(Event.user_id))), [ANN]),
    "exists": (lambda: select(User).where(exists().where(Event.user_id == User.id)), [ANN]),
    "not exists": (lambda: select(User).where(~select(Event).where(Event.user_id == User.id).exists()), [BOB]),
    "scalar subquery": (
        lambda: select(User.name, select(func.count(Event.id)).scalar_subquery()),
        [("ann", 3), ("bob", 3)],
    ),
    "correlated scalar subquery": (
        lambda: select(User.name, select(func.count(Event.id)).where(Event.user_id == User.id).scalar_subquery()),
        [("ann", 2), ("bob", 0)],
    ),
    "subquery": (lambda: select(User.name, (one := per_user.subquery()).c.events).join(one), [("ann", 2)]),
    "aliased": (lambda: select(User, other).join(other, other.user_id == User.id), [(ANN, VIEW), (ANN, BUY)]),
    "lateral": (
        lambda: select(User, (one := lateral(select(Event.kind).where(Event.user_id == User.id))).c.kind).join(
            one, literal(1) == 1
        ),
        [(ANN, "buy"), (ANN, "view")],
    ),
    "cte": (lambda: select(User, (one := per_user.cte()).c.events).join(one, one.c.user_id == User.id), [(ANN, 2)]),
    "union": (lambda: union(select(User.id), select(Event.id)), [1, 2, 3]),
    "loader criteria": (
        lambda: select(User).options(
            with_loader_criteria(User, User.id.in_(select(Event.user_id)), include_aliases=True)
        ),
        [ANN],
    ),
    "from_statement": (
        lambda: select(User).from_statement(select(User).join(Event, Event.user_id == User.id)),
        [ANN, ANN],
    ),
    "order by": (lambda: select(User).order_by(select(func.max(Event.id)).scalar_subquery()), [ANN, BOB]),
    "group by": (
        lambda: select(User.name, func.count(Event.id)).outerjoin(Event, Event.user_id == User.id).group_by(User.name),
        [("ann", 2), ("bob", 0)],
    ),
    "core": (lambda: select(User.__table__.c.id).join(Event.__table__, Event.user_id == User.id), [1, 1]),
}


def saved(session: Session) -> None:
    """ann with two events, bob with none, and an event of nobody."""
    session.add_all([ann(), User(id=2, name="bob"), Event(id=3, kind="sold")])
    session.commit()
    session.expunge_all()


def plain(value: Any) -> Any:
    return f"{type(value).__name__} {value.id}" if isinstance(value, (User, Event)) else value


def rows_of(result: Any) -> list[Any]:
    """In an order of their own; rows of one column as its values."""
    rows = [tuple(map(plain, row)) for row in result]
    return sorted((row[0] if len(row) == 1 else row for row in rows), key=repr)


@pytest.mark.parametrize("shape", SELECTS)
def test_select(run: Run, shape: str) -> None:
    """Its rows are right, and each database was asked for its own part once."""
    make, expected = SELECTS[shape]

    def body(session: Session) -> list[Any]:
        saved(session)
        with statements(session.databases) as ran:
            found = rows_of(session.execute(make()))
        assert ["analytics", "shop"] == sorted(map(str, where(ran)))
        return found

    assert sorted(expected, key=repr) == run(body)


@pytest.mark.parametrize("load", [joinedload, subqueryload])
def test_joining_loader_option(run: Run, load: Any) -> None:
    """One object per row of the parent, each with its whole collection, nothing left to load."""

    def body(session: Session) -> list[Any]:
        saved(session)
        found = session.scalars(select(User).options(load(User.events)).order_by(User.id)).unique().all()
        with statements(session.databases) as ran:
            events = [[event.kind for event in user.events] for user in found]
        return [events, ran]

    assert [[["view", "buy"], []], []] == run(body)


def test_joined_parents(run: Run) -> None:
    """Many to one: also of a row without a parent."""

    def body(session: Session) -> list[Any]:
        saved(session)
        options = joinedload(Event.user).joinedload(User.orders)
        found = session.scalars(select(Event).options(options).order_by(Event.id)).unique().all()
        with statements(session.databases) as ran:
            users = [event.user and [event.user.name, len(event.user.orders)] for event in found]
        return [users, ran]

    assert [[["ann", 2], ["ann", 2], None], []] == run(body)


def test_contains_eager(run: Run) -> None:
    """The collection holds what the join brought, and no more."""

    def body(session: Session) -> list[str]:
        saved(session)
        statement = select(User).join(User.events).where(Event.kind == "buy").options(contains_eager(User.events))
        return [event.kind for event in session.scalars(statement).unique().one().events]

    assert ["buy"] == run(body)


def test_three_databases(run: Run) -> None:
    """Each is asked for its own part."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.add_all([Entry(id=1, what="ann"), Entry(id=2, what="cid")])
        joined = select(User.name, Event.kind, Entry.id).join(Event, Event.user_id == User.id)
        with statements(session.databases) as ran:
            session.flush()
            ran.clear()
            rows = session.execute(joined.join(Entry, Entry.what == User.name).order_by(Event.id)).all()
        return [*map(tuple, rows), sorted(map(str, where(ran)))]

    assert [("ann", "view", 1), ("ann", "buy", 1), ["analytics", "audit", "shop"]] == run(body)


@pytest.mark.parametrize("call", ["scalar", "scalars", "execute", "query", "count", "stream"])
def test_every_way_to_run_a_statement(run: Run, call: str) -> None:
    """They give the same."""

    def body(session: Session) -> Any:
        saved(session)
        statement = select(Event.id).join(User.events).order_by(Event.id)
        one: Any = {"yield_per": 1}
        calls: dict[str, Callable[[], Any]] = {
            "scalar": lambda: [session.scalar(statement), 2],
            "scalars": lambda: session.scalars(statement).all(),
            "execute": lambda: [row.id for row in session.execute(statement)],
            "query": lambda: [event.id for event in session.query(Event).join(User.events).order_by(Event.id)],
            "count": lambda: [*range(1, session.query(Event.id).join(User.events).count() + 1)],
            "stream": lambda: [
                row.id for part in session.execute(statement, execution_options=one).partitions() for row in part
            ],
        }
        return calls[call]()

    assert [1, 2] == run(body)


def test_values_of_each_execution(run: Run) -> None:
    """A statement that is remembered runs with the parameters of this time, in both databases."""

    def body(session: Session) -> list[Any]:
        saved(session)

        def kinds(name: str, *ids: int) -> list[str]:
            statement = select(Event.kind).join(User.events).where(User.name == name, Event.id.in_(ids))
            return sorted(session.scalars(statement))

        return [kinds("ann", 1), kinds("ann", 1, 2, 3), kinds("bob", 1, 2), kinds("ann"), kinds("ann", 2)]

    assert [["view"], ["buy", "view"], [], [], ["buy"]] == run(body)


def test_route(run: Run) -> None:
    """It names both, and runs nothing."""

    def body(session: Session) -> list[Any]:
        with statements(session.databases) as ran:
            routes = [
                session.route(each)
                for each in (select(User).join(User.events), session.query(Order).join(Event, Event.id == Order.id))
            ]
        return [*((route.database, route.reason) for route in routes), ran]

    both = ("analytics + shop", "a select over several databases")
    assert [both, both, []] == run(body)


def test_connections_afterwards(run: Run) -> None:
    """They belong to the transaction, and go back with it; a result that was not read to its end keeps none."""

    def body(session: Session) -> None:
        saved(session)
        session.execute(select(User, Event).execution_options(yield_per=1)).first()
        unread = session.execute(select(User, Event).execution_options(yield_per=1))
        next(iter(unread))
        session.rollback()
        assert_idle(session.databases, asyncio=session._asyncio)

    run(body)
