"""Order, LIMIT and OFFSET: top-N, ties, NULLs, pages."""

from typing import Any

from sqlalchemy import desc, func, nulls_first, nulls_last, select
from sqlalchemy.orm import Session

from tests.federation.comparing import Bag
from tests.federation.models import Event, Product, User
from tests.federation.shapes.shape import dialogue, ordered


def pairs(*columns: Any) -> Any:
    return select(*columns).select_from(User).join(Event, Event.user_id == User.id)


@ordered
def newest_with_their_parents() -> Any:
    return select(Event.id, User.name).join(Event.user).order_by(Event.at.desc(), Event.id).limit(10)


@ordered
def newest_with_parents_that_are_few() -> Any:
    """Most of the newest have no such parent: a limit sent home would come back with too few."""
    return (
        select(Event.id, User.name)
        .join(Event.user)
        .where(User.country == "DE")
        .order_by(Event.at.desc(), Event.id)
        .limit(10)
    )


@ordered
def newest_with_or_without_parents() -> Any:
    return select(Event.id, User.name).outerjoin(Event.user).order_by(Event.at.desc(), Event.id).limit(10)


@ordered
def children_of_the_first_parents() -> Any:
    return pairs(User.id, Event.id).order_by(User.joined, Event.id).limit(15)


@ordered
def order_over_both() -> Any:
    return (
        pairs(User.country, Event.kind, Event.id)
        .where(User.country.is_not(None))
        .order_by(User.country, Event.kind.desc(), Event.id)
    )


@ordered
def order_by_an_expression_over_both() -> Any:
    return pairs(User.id, Event.id).order_by((User.id * 3 - Event.quantity).desc(), Event.id).limit(20)


@ordered
def order_by_what_is_not_selected() -> Any:
    return pairs(User.id).order_by(Event.at, Event.id).limit(12)


@ordered
def order_by_labels_and_positions() -> Any:
    return pairs(Event.quantity.label("q"), Event.id.label("e")).order_by(desc("q"), "e").limit(12)


@ordered
def limit_and_offset() -> Any:
    return pairs(User.id, Event.id).order_by(Event.id).limit(5).offset(10)


@ordered
def offset_without_limit() -> Any:
    return pairs(User.id, Event.id).order_by(Event.id).offset(200)


@ordered(empty=True, same=True)
def limit_zero() -> Any:
    return pairs(User.id, Event.id).order_by(Event.id).limit(0)


@ordered(empty=True, same=True)
def offset_past_the_end() -> Any:
    return pairs(User.id, Event.id).order_by(Event.id).limit(5).offset(5_000)


@ordered
def limit_by_an_expression() -> Any:
    return pairs(User.id, Event.id).order_by(Event.id).slice(3, 8)


@ordered(lacking="mariadb")
def nulls_at_the_end() -> Any:
    return pairs(Event.id, Event.amount).order_by(nulls_last(Event.amount.desc()), Event.id)


@ordered(lacking="mariadb")
def nulls_at_the_beginning() -> Any:
    return pairs(Event.id, User.balance).order_by(nulls_first(User.balance), Event.id)


@ordered
def nulls_where_the_backend_puts_them() -> Any:
    return pairs(Event.id, Event.amount).order_by(Event.amount, Event.id)


@ordered
def nulls_where_the_backend_puts_them_descending() -> Any:
    return pairs(Event.id, User.balance).order_by(User.balance.desc(), Event.id).limit(40)


@ordered
def nulls_by_an_expression() -> Any:
    return pairs(Event.id, Event.note).order_by(Event.note.is_(None), Event.note, Event.id)


@ordered
def order_of_outer_rows() -> Any:
    """The NULLs that the join makes are ordered like others."""
    return (
        select(User.id, Event.id)
        .outerjoin(Event, (Event.user_id == User.id) & (Event.quantity > 8))
        .order_by(Event.id.is_(None).desc(), Event.id, User.id)
        .limit(30)
    )


@ordered
def order_of_strings() -> Any:
    return pairs(User.name, Event.id).order_by(User.name, Event.id)


@ordered
def order_of_many_types() -> Any:
    return pairs(Event.id).order_by(Event.day, User.uid, User.joined, Event.id).limit(60)


@ordered
def order_of_three() -> Any:
    return (
        pairs(User.id, Event.id, Product.id)
        .join(Product, Product.id == Event.product_id)
        .order_by(Product.price.desc(), Product.id, User.id, Event.id)
        .limit(25)
    )


@ordered
def order_by_functions() -> Any:
    return pairs(Event.id).order_by(func.abs(Event.quantity - User.id), Event.id).limit(25)


@dialogue
def order_with_ties(session: Session) -> Any:
    """Rows with equal keys come in any order among themselves."""
    rows = session.execute(
        pairs(User.active, Event.kind, Event.id).where(User.active.is_not(None)).order_by(User.active, Event.kind)
    ).all()
    return [(row.active, row.kind) for row in rows], Bag(rows)


@dialogue(same=True)
def limit_with_ties(session: Session) -> Any:
    """Of equal rows any may come, but as many as asked for, with the right keys, and of those that exist."""
    rows = session.execute(pairs(Event.quantity, User.id, Event.id).order_by(Event.quantity.desc()).limit(17)).all()
    every = {tuple(row) for row in session.execute(pairs(Event.quantity, User.id, Event.id))}
    return [row.quantity for row in rows], len({tuple(row) for row in rows} & every)


@dialogue
def pages(session: Session) -> Any:
    statement = pairs(User.id, Event.id).where(Event.id < 60).order_by(Event.id)
    return [session.execute(statement.limit(7).offset(start)).all() for start in range(0, 60, 7)]


@dialogue
def pages_by_key(session: Session) -> Any:
    last, found = 0, []
    while rows := session.execute(pairs(User.id, Event.id).where(Event.id > last).order_by(Event.id).limit(40)).all():
        found.append(rows)
        last = rows[-1][1]
    return found


@dialogue(same=True)
def limit_without_order(session: Session) -> Any:
    return len(session.execute(pairs(User.id, Event.id).limit(11)).all())
