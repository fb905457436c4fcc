"""Dialogues: results and how they are read, the session's own work, cached statements, several results at once."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, lambda_stmt, literal, or_, select, update
from sqlalchemy.orm import Session, aliased

from tests.federation.comparing import Bag
from tests.federation.models import Color, Event, Payment, Tag, User, user_tags
from tests.federation.shapes.shape import dialogue

users, events = User.__table__, Event.__table__


def pairs(*columns: Any) -> Any:
    return select(*columns).select_from(User).join(Event, Event.user_id == User.id)


def new_event(number: int, **values: Any) -> Event:
    usual = {"kind": "mine", "quantity": 1, "at": datetime(2024, 6, 1), "ref": UUID(int=number), "blob": b""}
    return Event(id=number, day=date(2024, 6, 1), **{**usual, **values})


@dialogue
def scalars(session: Session) -> Any:
    return session.scalars(pairs(User).where(Event.amount > 5).order_by(User.id, Event.id)).all()


@dialogue
def scalars_unique(session: Session) -> Any:
    return session.scalars(pairs(User).order_by(User.id)).unique().all()


@dialogue(same=True)
def unique_rows(session: Session) -> Any:
    return Bag(session.execute(pairs(User.country, Event.kind)).unique().all())


@dialogue
def scalar(session: Session) -> Any:
    return session.scalar(select(func.count()).select_from(User).join(User.events))


@dialogue
def first_and_one(session: Session) -> Any:
    statement = pairs(User.id, Event.id).order_by(Event.id)
    row = session.execute(statement).first()
    return (
        row,
        session.execute(statement.where(Event.id == row[1])).one(),
        session.execute(statement.where(Event.id == -1)).one_or_none(),
    )


@dialogue
def mappings(session: Session) -> Any:
    return session.execute(pairs(User.id.label("u"), Event.id.label("e")).order_by(Event.id)).mappings().all()


@dialogue(same=True)
def keys_of_a_result(session: Session) -> Any:
    return list(session.execute(pairs(User.id, Event.kind, Event.id, func.abs(Event.quantity).label("q"))).keys())


@dialogue
def columns_of_a_result(session: Session) -> Any:
    result = session.execute(pairs(User.id, Event.kind, Event.id).order_by(Event.id))
    return result.columns(2, 0).all()


@dialogue
def attributes_of_rows(session: Session) -> Any:
    rows = session.execute(pairs(User, Event.kind, Event.quantity.label("q")).order_by(Event.id))
    return [(row.User.name, row.kind, row.q, row._mapping[Event.kind]) for row in rows]


@dialogue
def columns_of_core_rows(session: Session) -> Any:
    rows = session.execute(
        select(users, events.c.kind).join(events, events.c.user_id == users.c.id).order_by(events.c.id)
    )
    return [(row._mapping[users.c.id], row._mapping[events.c.kind]) for row in rows]


@dialogue
def yield_per(session: Session) -> Any:
    return list(session.execute(pairs(User, Event).order_by(Event.id).execution_options(yield_per=17)))


@dialogue
def partitions(session: Session) -> Any:
    return [tuple(part) for part in session.execute(pairs(User.id, Event.id).order_by(Event.id)).partitions(9)]


@dialogue
def stream_results(session: Session) -> Any:
    return list(
        session.execute(pairs(User.id, Event.id).order_by(Event.id), execution_options={"stream_results": True})
    )


@dialogue
def fetchmany(session: Session) -> Any:
    result = session.execute(pairs(User.id, Event.id).order_by(Event.id))
    return result.fetchmany(3), result.fetchone(), result.fetchmany(2), len(result.fetchall())


@dialogue
def result_left_half_read(session: Session) -> Any:
    result = session.execute(pairs(User.id, Event.id).order_by(Event.id).execution_options(yield_per=5))
    first = result.fetchone()
    result.close()
    return first, session.scalar(select(func.count()).select_from(User).join(User.events))


@dialogue
def frozen_result(session: Session) -> Any:
    frozen = session.execute(pairs(User.id, Event.id).order_by(Event.id)).freeze()
    return frozen().all(), frozen().first()


@dialogue
def legacy_query(session: Session) -> Any:
    return session.query(User, Event).join(Event, Event.user_id == User.id).order_by(Event.id).limit(20).all()


@dialogue
def legacy_query_of_columns(session: Session) -> Any:
    query = session.query(User.country, func.count()).join(User.events).group_by(User.country)
    return Bag(query.all())


@dialogue
def legacy_count_and_exists(session: Session) -> Any:
    query = session.query(User).join(User.events).filter(Event.quantity > 5)
    return query.count(), query.with_entities(User.id).distinct().count(), session.query(query.exists()).scalar()


@dialogue
def legacy_from_a_subquery(session: Session) -> Any:
    inner = session.query(User).filter(User.active.is_(True)).subquery()
    active = aliased(User, inner)
    return Bag(session.query(active.id, Event.id).join(Event, Event.user_id == active.id).all())


@dialogue
def own_new_rows(session: Session) -> Any:
    session.add_all([new_event(9001, user_id=1, amount=Decimal("1.5")), new_event(9002, user_id=2)])
    return Bag(session.execute(pairs(User.name, Event.id, Event.amount).where(Event.kind == "mine")).all())


@dialogue
def own_changed_rows(session: Session) -> Any:
    session.get(User, 1).name = "changed"
    for event in session.scalars(select(Event).where(Event.user_id == 1)):
        event.quantity = 99
    return Bag(session.execute(pairs(User.name, Event.id, Event.quantity).where(Event.quantity == 99)).all())


@dialogue
def own_deleted_rows(session: Session) -> Any:
    for event in session.scalars(select(Event).where(Event.kind == "see", ~Event.payments.any())):
        session.delete(event)
    return Bag(session.execute(pairs(User.id, Event.id)).all())


@dialogue
def own_rows_without_autoflush(session: Session) -> Any:
    """What is not flushed is not seen."""
    with session.no_autoflush:
        session.add(new_event(9001, user_id=1))
        return session.scalar(select(func.count()).select_from(User).join(User.events))


@dialogue
def own_updates_by_statements(session: Session) -> Any:
    session.execute(update(User).where(User.id < 10).values(country="ZZ"))
    session.execute(delete(Event).where(Event.quantity < 0, ~Event.payments.any()))
    session.execute(insert(Tag), [{"id": 99, "label": "new"}])
    session.execute(user_tags.insert(), [{"user_id": 1, "tag_id": 99}])
    statement = pairs(User.id, Event.id, Tag.label).join(User.tags).where(User.country == "ZZ")
    return Bag(session.execute(statement).all())


@dialogue
def own_rows_after_a_rollback(session: Session) -> Any:
    session.execute(update(User).values(name="nobody"))
    before = Bag(session.execute(pairs(User.name, Event.id).where(Event.id < 50)).all())
    session.rollback()
    return before, Bag(session.execute(pairs(User.name, Event.id).where(Event.id < 50)).all())


@dialogue
def own_rows_of_a_savepoint(session: Session) -> Any:
    count = select(func.count()).select_from(User).join(User.events)
    with session.begin_nested():
        session.add(new_event(9001, user_id=1))
        inside = session.scalar(count)
    nested = session.begin_nested()
    session.add(new_event(9002, user_id=1))
    session.flush()
    both = session.scalar(count)
    nested.rollback()
    return inside, both, session.scalar(count)


@dialogue
def inside_a_savepoint_first(session: Session) -> Any:
    with session.begin_nested():
        return Bag(session.execute(pairs(User.id, Event.id)).all())


@dialogue
def changes_go_home(session: Session) -> Any:
    """Entities of a join are like all others: what is changed in them is flushed."""
    user, event = session.execute(pairs(User, Event).order_by(Event.id)).first()
    user.name, event.kind = "flushed", "flushed"
    session.flush()
    name = session.scalar(select(User.name).where(User.id == user.id))
    return name, session.scalars(select(Event.id).where(Event.kind == "flushed")).all(), user, event


@dialogue
def deleted_after_a_join(session: Session) -> Any:
    for payment in session.scalars(select(Payment).join(Payment.user).where(User.active.is_(True))):
        session.delete(payment)
    session.flush()
    return session.scalars(select(Payment.id).order_by(Payment.id)).all()


@dialogue(same=True)
def added_to_a_collection(session: Session) -> Any:
    user = session.scalars(select(User).join(User.events).order_by(User.id)).first()
    user.events.append(new_event(9001))
    session.flush()
    return Bag(session.execute(pairs(User.id, Event.id).where(Event.kind == "mine")).all())


@dialogue
def refreshed_and_expired(session: Session) -> Any:
    user, event = session.execute(pairs(User, Event).order_by(Event.id)).first()
    session.expire(user)
    session.refresh(event)
    return user.name, user, event


@dialogue(nonsense="mariadb")
def two_results_at_once(session: Session) -> Any:
    """A connection to MariaDB streams only one of them."""
    one = session.execute(pairs(User.id, Event.id).order_by(Event.id).execution_options(yield_per=7))
    two = session.execute(pairs(User.id, Event.id).order_by(Event.id.desc()).execution_options(yield_per=5))
    return list(zip(one, two, strict=True))


@dialogue
def nested_iteration(session: Session) -> Any:
    found = []
    for user, event in session.execute(pairs(User, Event).where(Event.id < 12).order_by(Event.id)):
        same = session.scalars(select(User.id).join(User.events).where(Event.id == event.id)).all()
        found.append((user.id, same, [each.id for each in user.events]))
    return found


@dialogue
def flush_while_reading(session: Session) -> Any:
    seen = []
    for user, event in session.execute(pairs(User, Event).where(Event.id < 12).order_by(Event.id)):
        event.quantity = 1000 + user.id
        session.flush()
        seen.append(session.scalar(select(Event.quantity).where(Event.id == event.id)))
    return seen


@dialogue
def same_shape_with_other_values(session: Session) -> Any:
    """The compiled statement is kept, and its values are not."""
    found = []
    for country, most in [("NZ", 3), ("AU", 7), ("NZ", 9), ("no", 1)]:
        rows = session.execute(pairs(User.id, Event.id).where(User.country == country, Event.quantity > most))
        found.append(Bag(rows.all()))
    return found


@dialogue
def same_shape_with_other_values_inside(session: Session) -> Any:
    found = []
    for kind, n in [("buy", 2), ("see", 9), ("Buy", 4)]:
        some = select(Event.user_id).where(Event.kind == kind).order_by(Event.id).limit(n).subquery()
        statement = select(User.id, literal(n), some.c.user_id).join(some, some.c.user_id == User.id)
        found.append(Bag(session.execute(statement.where(or_(User.id > n, User.name == kind))).all()))
    return found


@dialogue
def same_shape_with_lists_of_other_lengths(session: Session) -> Any:
    lists = ([1, 2, 3], [4], [], list(range(10, 40)))
    return [
        Bag(session.execute(pairs(User.id, Event.id).where(or_(User.id.in_(each), Event.id.in_(each)))).all())
        for each in lists
    ]


@dialogue
def same_shape_with_other_limits(session: Session) -> Any:
    return [
        session.execute(pairs(User.id, Event.id).order_by(Event.id).limit(n).offset(n)).all() for n in (1, 4, 0, 30)
    ]


@dialogue
def named_parameters(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(
        User.country == bindparam("country"), or_(Event.kind == bindparam("kind"), User.id < 3)
    )
    given = [{"country": "NZ", "kind": "buy"}, {"country": "AU", "kind": "see"}]
    return [Bag(session.execute(statement, each).all()) for each in given]


@dialogue
def parameter_used_on_both_sides(session: Session) -> Any:
    number = bindparam("n")
    statement = pairs(User.id, Event.id).where(User.id > number, Event.quantity < number, Event.id != number)
    return [Bag(session.execute(statement, {"n": n}).all()) for n in (2, 9)]


@dialogue
def expanding_parameters(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(
        Event.kind.in_(bindparam("kinds", expanding=True)), User.country.in_(bindparam("countries", expanding=True))
    )
    given = [{"kinds": ["buy", "see"], "countries": ["NZ"]}, {"kinds": [], "countries": ["NZ", "AU"]}]
    return [Bag(session.execute(statement, each).all()) for each in given]


@dialogue
def parameters_that_are_none(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(
        or_(User.country == bindparam("country"), Event.kind_b == bindparam("b"), Event.quantity > bindparam("q"))
    )
    return Bag(session.execute(statement, {"country": None, "b": None, "q": 8}).all())


@dialogue
def parameters_of_many_types(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(
        or_(
            User.color == bindparam("color"),
            User.token == bindparam("token"),
            Event.code == bindparam("code"),
            Event.day == bindparam("day"),
            Event.amount < bindparam("amount"),
        )
    )
    given = {"color": Color.green, "token": UUID(int=5), "code": "B", "day": date(2024, 6, 9), "amount": Decimal("0.5")}
    return Bag(session.execute(statement, given).all())


@dialogue
def parameters_with_defaults(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(Event.quantity > bindparam("least", 7))
    return Bag(session.execute(statement).all()), Bag(session.execute(statement, {"least": 10}).all())


@dialogue
def parameters_of_the_statement(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(Event.quantity > bindparam("q")).params(q=9)
    return Bag(session.execute(statement).all())


@dialogue
def literals_rendered_into_the_statement(session: Session) -> Any:
    few = bindparam("few", 9, literal_execute=True)
    return Bag(session.execute(pairs(User.id, Event.id).where(Event.quantity > few, User.name != "O'Neil1")).all())


@dialogue
def lambda_statement(session: Session) -> Any:
    found = []
    for most in (3, 8):
        statement = lambda_stmt(lambda: select(User.id, Event.id))
        statement += lambda s: s.join(Event, Event.user_id == User.id).where(Event.quantity > most)  # noqa: B023
        found.append(Bag(session.execute(statement).all()))
    return found


@dialogue
def statement_without_a_cache(session: Session) -> Any:
    options = {"compiled_cache": None}
    return Bag(session.execute(pairs(User.id, Event.id), execution_options=options).all())


@dialogue
def many_keys(session: Session) -> Any:
    """More rows of one side than any list of keys takes kindly."""
    session.execute(insert(Tag), [{"id": number, "label": f"tag {number}"} for number in range(100, 2_100)])
    statement = select(Tag.id, Event.id).join(Event, Event.id * 7 == Tag.id)
    return Bag(session.execute(statement).all())


@dialogue
def after_a_rollback(session: Session) -> Any:
    first = Bag(session.execute(pairs(User.id, Event.id).where(Event.id < 9)).all())
    session.rollback()
    return first, Bag(session.execute(pairs(User.id, Event.id).where(Event.id < 9)).all())


@dialogue(without="sqlite", options={"twophase": True})
def two_phase_session(session: Session) -> Any:
    session.get(User, 1).name = "changed"
    return Bag(session.execute(pairs(User.name, Event.id)).all())


@dialogue(options={"autoflush": False})
def session_without_autoflush(session: Session) -> Any:
    session.get(User, 1).name = "changed"
    return Bag(session.execute(pairs(Event.id, User.boss_id)).all())


@dialogue(options={"expire_on_commit": False, "future": True})
def session_with_options(session: Session) -> Any:
    return Bag(session.execute(pairs(User, Event).where(Event.id < 20)).all())
