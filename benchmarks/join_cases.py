"""The joins that are measured: each as a statement, and as people write it by hand over two sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from benchmarks.join_data import Event, User

EMAIL = "user4242@example.org"
COUNTRY, TYPE = "CD", "type07"
FROM, UNTIL = datetime(2024, 3, 22), datetime(2024, 4, 7, 4, 53, 20)
IN_LIST = 1000

Rows = Sequence[Any]
ByHand = Callable[[Session, Session], Rows]
"""Takes a session over the users and one over the events."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Of the ratio to the native join; ``others`` where not both sides are PostgreSQL."""

    must: float
    goal: float
    others_must: float
    others_goal: float

    def of(self, pair: str) -> tuple[float, float]:
        return (self.must, self.goal) if pair == "PG+PG" else (self.others_must, self.others_goal)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``native``: the statement that one PostgreSQL is given, where the best form is another one."""

    name: str
    statement: Select[Any]
    by_hand: ByHand
    target: Target
    native: Select[Any] | None = None
    ordered: bool = False
    heavy: bool = False
    """It reads many rows: its peak memory is measured, too."""


def pairs(events: Sequence[Event], users: Sequence[User]) -> list[tuple[Event, User]]:
    by_id = {user.id: user for user in users}
    return [(event, by_id[event.user_id]) for event in events if event.user_id in by_id]


def in_lists(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), IN_LIST):
        yield keys[start : start + IN_LIST]


def of_users(session: Session, users: Sequence[User], *criteria: Any) -> list[Event]:
    keys = [user.id for user in users]
    statements = (select(Event).where(Event.user_id.in_(some), *criteria) for some in in_lists(keys))
    return [event for statement in statements for event in session.scalars(statement)]


def users_of(session: Session, events: Sequence[Event]) -> list[User]:
    keys = list({event.user_id for event in events if event.user_id is not None})
    statements = (select(User).where(User.id.in_(some)) for some in in_lists(keys))
    return [user for statement in statements for user in session.scalars(statement)]


def shown(found: Sequence[tuple[Event, User]]) -> Rows:
    return [(event.id, user.name, event.type, event.amount, event.ts) for event, user in found]


def point(users: Session, events: Session) -> Rows:
    wanted = users.scalars(select(User).where(User.email == EMAIL)).all()
    return shown(pairs(of_users(events, wanted), wanted))


def selective(users: Session, events: Session) -> Rows:
    wanted = users.scalars(select(User).where(User.country == COUNTRY)).all()
    found = pairs(of_users(events, wanted, Event.type == TYPE), wanted)
    return [(user.id, user.name, event.id, event.amount, event.ts) for event, user in found]


def aggregate(users: Session, events: Session) -> Rows:
    countries: dict[int, str] = dict(users.execute(select(User.id, User.country)).tuples().all())
    totals: dict[str, list[Any]] = {}
    for user_id, amount in events.execute(select(Event.user_id, Event.amount)).tuples():
        country = countries.get(user_id) if user_id is not None else None
        if country is None:
            continue
        total = totals.setdefault(country, [None, 0])
        total[1] += 1
        if amount is not None:
            total[0] = amount if total[0] is None else total[0] + amount
    return [(country, *total) for country, total in totals.items()]


def many(users: Session, events: Session) -> Rows:
    return shown(many_entities(users, events))


def many_entities(users: Session, events: Session) -> list[tuple[Event, User]]:
    found = events.scalars(select(Event).where(Event.ts >= FROM, Event.ts < UNTIL)).all()
    return pairs(found, users_of(users, found))


def newest(users: Session, events: Session) -> Rows:
    """Short by one for each event whose user is missing, as such code is."""
    latest = select(Event).where(Event.user_id.is_not(None)).order_by(Event.ts.desc(), Event.id.desc()).limit(50)
    found = events.scalars(latest).all()
    return shown(pairs(found, users_of(users, found)))


def without(users: Session, events: Session) -> Rows:
    having = set(events.scalars(select(Event.user_id).distinct()))
    return [(user.id, user.email) for user in users.scalars(select(User)) if user.id not in having]


joined = Event.user_id == User.id
columns = (Event.id, User.name, Event.type, Event.amount, Event.ts)
no_event = select(User.id, User.email).where(~select(Event.id).where(joined).exists())
anti_join = Target(must=4, goal=2, others_must=4, others_goal=2)

CASES = [
    Case(
        name="Q1 point",
        statement=select(*columns).join(User, joined).where(User.email == EMAIL),
        by_hand=point,
        target=Target(must=1.8, goal=1.5, others_must=2.8, others_goal=1.8),
    ),
    Case(
        name="Q2 selective",
        statement=select(User.id, User.name, Event.id, Event.amount, Event.ts)
        .join(Event, joined)
        .where(User.country == COUNTRY, Event.type == TYPE),
        by_hand=selective,
        target=Target(must=0.8, goal=0.6, others_must=3.0, others_goal=2.0),
    ),
    Case(
        name="Q3 aggregate",
        statement=select(User.country, func.sum(Event.amount), func.count()).join(Event, joined).group_by(User.country),
        by_hand=aggregate,
        target=Target(must=0.9, goal=0.7, others_must=3.4, others_goal=1.4),
        heavy=True,
    ),
    Case(
        name="Q4 many rows",
        statement=select(*columns).join(User, joined).where(Event.ts >= FROM, Event.ts < UNTIL),
        by_hand=many,
        target=Target(must=1.4, goal=1.1, others_must=2.8, others_goal=1.8),
        heavy=True,
    ),
    Case(
        name="Q4 entities",
        statement=select(Event, User).join(User, joined).where(Event.ts >= FROM, Event.ts < UNTIL),
        by_hand=many_entities,
        target=Target(must=1.0, goal=0.8, others_must=1.0, others_goal=0.8),
        heavy=True,
    ),
    Case(
        name="Q5 top 50",
        statement=select(*columns).join(User, joined).order_by(Event.ts.desc(), Event.id.desc()).limit(50),
        by_hand=newest,
        target=Target(must=1.5, goal=1.3, others_must=2.0, others_goal=1.3),
        ordered=True,
    ),
    Case(
        name="Q6 left join",
        statement=select(User.id, User.email).outerjoin(Event, joined).where(Event.id.is_(None)),
        native=no_event,
        by_hand=without,
        target=anti_join,
        heavy=True,
    ),
    Case(name="Q6 not exists", statement=no_event, by_hand=without, target=anti_join, heavy=True),
]


def comparable(case: Case, rows: Rows) -> list[Any]:
    """Rows of values, in an order of their own unless the statement has one."""
    found = [tuple(row) for row in rows]
    if found and isinstance(found[0][0], Event):
        found = [tuple(_values(entity) for entity in row) for row in found]
    return found if case.ordered else sorted(found, key=repr)


def _values(entity: Event | User) -> tuple[object, ...]:
    return tuple(getattr(entity, column.key) for column in entity.__table__.columns)
