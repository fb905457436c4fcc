"""Loading: entities, their relationships and what else the ORM makes of rows."""

from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    contains_eager,
    defaultload,
    defer,
    joinedload,
    lazyload,
    load_only,
    raiseload,
    selectinload,
    subqueryload,
    undefer,
    with_loader_criteria,
    with_parent,
    with_polymorphic,
)

from tests.federation.comparing import Bag
from tests.federation.models import Animal, CardPayment, Dog, Event, Maker, Payment, Product, User
from tests.federation.shapes.shape import dialogue, ordered, unordered


def pairs(*columns: Any) -> Any:
    return select(*columns).select_from(User).join(Event, Event.user_id == User.id)


@dialogue
def contains_eager_collection(session: Session) -> Any:
    statement = select(User).join(User.events).where(Event.kind == "buy").options(contains_eager(User.events))
    return session.scalars(statement.order_by(User.id, Event.id)).unique().all()


@dialogue
def contains_eager_to_one(session: Session) -> Any:
    statement = select(Event).join(Event.user).where(User.country == "NZ").options(contains_eager(Event.user))
    return Bag(session.scalars(statement).all())


@dialogue
def contains_eager_nested(session: Session) -> Any:
    statement = (
        select(User)
        .join(User.events)
        .join(Event.product)
        .options(contains_eager(User.events).contains_eager(Event.product))
        .order_by(User.id, Event.id)
    )
    return session.scalars(statement).unique().all()


@dialogue
def contains_eager_of_an_alias(session: Session) -> Any:
    other = aliased(Event)
    statement = select(User).join(User.events.of_type(other)).where(other.quantity > 8)
    return (
        session.scalars(statement.options(contains_eager(User.events.of_type(other))).order_by(User.id, other.id))
        .unique()
        .all()
    )


@dialogue
def contains_eager_after_an_outer_join(session: Session) -> Any:
    statement = select(User).outerjoin(User.events).options(contains_eager(User.events)).order_by(User.id, Event.id)
    return session.scalars(statement).unique().all()


@dialogue
def joinedload_collection(session: Session) -> Any:
    return session.scalars(select(User).options(joinedload(User.events)).order_by(User.id)).unique().all()


@dialogue
def joinedload_to_one(session: Session) -> Any:
    return session.scalars(select(Event).options(joinedload(Event.user)).order_by(Event.id)).all()


@dialogue
def joinedload_inner(session: Session) -> Any:
    statement = select(Event).where(Event.user.has()).options(joinedload(Event.user, innerjoin=True))
    return session.scalars(statement.order_by(Event.id)).all()


@dialogue
def joinedload_nested(session: Session) -> Any:
    load = joinedload(User.events).joinedload(Event.product).joinedload(Product.maker)
    return session.scalars(select(User).where(User.id < 9).options(load).order_by(User.id)).unique().all()


@dialogue
def joinedload_with_limit(session: Session) -> Any:
    """The limit counts users, not rows."""
    return session.scalars(select(User).options(joinedload(User.events)).order_by(User.id).limit(4)).unique().all()


@dialogue
def joinedload_twice(session: Session) -> Any:
    load = (joinedload(Event.user), joinedload(Event.product))
    return session.scalars(select(Event).options(*load).order_by(Event.id).limit(40)).all()


@dialogue
def joinedload_of_two_collections(session: Session) -> Any:
    load = (joinedload(User.events), joinedload(User.payments))
    return session.scalars(select(User).where(User.id < 12).options(*load).order_by(User.id)).unique().all()


@dialogue
def joinedload_at_home_in_a_join_of_both(session: Session) -> Any:
    statement = select(Event).join(Event.user).where(User.active.is_(True)).options(joinedload(Event.payments))
    return session.scalars(statement.order_by(Event.id)).unique().all()


@dialogue
def joinedload_of_entities_of_both(session: Session) -> Any:
    statement = pairs(User, Event).options(joinedload(User.boss), joinedload(Event.product))
    return session.execute(statement.order_by(Event.id)).unique().all()


@dialogue
def joinedload_with_criteria(session: Session) -> Any:
    load = joinedload(User.events.and_(Event.kind == "see"))
    return session.scalars(select(User).options(load).order_by(User.id)).unique().all()


@dialogue
def joinedload_in_get(session: Session) -> Any:
    return session.get(Event, 5, options=[joinedload(Event.user).joinedload(User.tags)])


@dialogue
def subqueryload_collection(session: Session) -> Any:
    return session.scalars(select(User).options(subqueryload(User.events)).order_by(User.id).limit(5)).all()


@dialogue
def subqueryload_of_a_join(session: Session) -> Any:
    statement = select(User).join(User.events).where(Event.quantity > 9).options(subqueryload(User.payments))
    return session.scalars(statement.order_by(User.id, Event.id)).all()


@dialogue
def selectinload_collection(session: Session) -> Any:
    return session.scalars(select(User).options(selectinload(User.events)).order_by(User.id)).all()


@dialogue
def selectinload_nested(session: Session) -> Any:
    load = selectinload(User.events).selectinload(Event.product).selectinload(Product.maker)
    return session.scalars(select(User).where(User.id < 9).options(load).order_by(User.id)).all()


@dialogue
def selectinload_after_a_join_of_both(session: Session) -> Any:
    statement = select(User).where(User.events.any(Event.amount > 8)).options(selectinload(User.events))
    return session.scalars(statement.order_by(User.id)).all()


@dialogue
def selectinload_then_joinedload(session: Session) -> Any:
    load = selectinload(User.events).joinedload(Event.product)
    return session.scalars(select(User).options(load).order_by(User.id).limit(6)).all()


@dialogue
def selectinload_many_to_many(session: Session) -> Any:
    statement = select(User).join(User.events).where(Event.quantity == 11).options(selectinload(User.tags))
    return session.scalars(statement.order_by(User.id, Event.id)).unique().all()


@dialogue
def lazy_loads_after_a_join(session: Session) -> Any:
    found = session.scalars(select(Event).join(Event.user).where(User.country == "AU").order_by(Event.id).limit(5))
    return [(each.id, each.user, each.product, each.payments) for each in found]


@dialogue
def raiseload_and_lazyload(session: Session) -> Any:
    load = (raiseload(User.payments), lazyload(User.events))
    return session.scalars(select(User).join(User.events).where(Event.id < 9).options(*load).order_by(Event.id)).all()


@dialogue
def loader_criteria_of_the_joined_entity(session: Session) -> Any:
    criteria = with_loader_criteria(Event, Event.kind == "buy")
    return Bag(session.execute(pairs(User.id, Event.id).options(criteria)).all())


@dialogue
def loader_criteria_in_an_outer_join(session: Session) -> Any:
    criteria = with_loader_criteria(Event, lambda cls: cls.quantity > 8)
    statement = select(User.id, Event.id).outerjoin(Event, Event.user_id == User.id).options(criteria)
    return Bag(session.execute(statement).all())


@dialogue
def loader_criteria_for_the_loads(session: Session) -> Any:
    criteria = with_loader_criteria(Event, Event.kind == "buy")
    statement = select(User).options(selectinload(User.events), criteria).order_by(User.id)
    return session.scalars(statement).all()


@unordered
def bundles() -> Any:
    return pairs(Bundle("person", User.id, User.name), Bundle("event", Event.kind, Event.amount))


@unordered
def some_columns_of_entities() -> Any:
    return pairs(User, Event).options(load_only(User.name, User.id), defer(Event.payload), defer(Event.blob))


@unordered
def deferred_column_property() -> Any:
    return pairs(User, Event.id).options(undefer(User.tier))


@ordered
def column_property_over_both() -> Any:
    return select(User).options(undefer(User.event_count)).order_by(User.id)


@dialogue
def column_property_over_both_loaded_later(session: Session) -> Any:
    return [each.event_count for each in session.scalars(select(User).where(User.id < 6).order_by(User.id))]


@ordered
def column_property_over_both_in_where() -> Any:
    return select(User.id, User.event_count).where(User.event_count > 5).order_by(User.event_count.desc(), User.id)


@unordered
def hybrids() -> Any:
    return pairs(User.shout, Event.id).where(or_(User.is_rich, User.shout == "Bob1!"))


@unordered
def joined_inheritance() -> Any:
    return select(User.id, Dog).join(Dog, Dog.owner_id == User.id)


@unordered
def joined_inheritance_base_class() -> Any:
    return select(User.id, Animal).join(Animal, Animal.owner_id == User.id)


@unordered
def with_polymorphic_classes() -> Any:
    every = with_polymorphic(Animal, [Dog])
    return select(User.id, every).join(every, every.owner_id == User.id)


@unordered
def alias_of_a_joined_class() -> Any:
    hound = aliased(Dog, flat=True)
    return (
        select(User.id, hound.bark, Event.id)
        .join(hound, hound.owner_id == User.id)
        .join(Event, Event.user_id == User.id)
    )


@unordered
def relationship_from_an_inheriting_class() -> Any:
    return select(Dog.bark, User.name).join(Dog.owner)


@unordered
def single_inheritance() -> Any:
    return select(User.id, CardPayment).join(CardPayment, CardPayment.user_id == User.id)


@unordered
def single_inheritance_base_class() -> Any:
    return select(User.name, Payment).join(Payment.user)


@unordered
def single_inheritance_in_an_outer_join() -> Any:
    """The class is a condition of the join, not of its result."""
    return select(User.id, CardPayment.digits).outerjoin(CardPayment, CardPayment.user_id == User.id)


@unordered
def single_inheritance_in_exists() -> Any:
    return select(User.id).where(select(CardPayment.id).where(CardPayment.user_id == User.id).exists())


@dialogue
def identity_map(session: Session) -> Any:
    """An entity is the same object, whichever statement brought it."""
    user = session.get(User, 1)
    rows = session.execute(pairs(User, Event).where(User.id == 1).order_by(Event.id)).all()
    return user, [row.User is user for row in rows], [session.get(Event, row.Event.id) is row.Event for row in rows]


@dialogue
def populate_existing(session: Session) -> Any:
    user = session.get(User, 2)
    with session.no_autoflush:
        user.name = "changed and thrown away"
        found = session.scalars(
            select(User).join(User.events).where(User.id == 2).execution_options(populate_existing=True)
        )
        return [each.name for each in found.unique()], user.name


@dialogue
def relationships_on_both_ends(session: Session) -> Any:
    statement = select(Maker).join(Maker.products).join(Product.events).where(Event.quantity > 8)
    load = contains_eager(Maker.products).contains_eager(Product.events)
    return session.scalars(statement.options(load).order_by(Maker.id, Product.id, Event.id)).unique().all()


@dialogue
def relationship_comparison_with_an_object(session: Session) -> Any:
    user = session.get(User, 3)
    return Bag(session.execute(select(Event.id, Product.id).join(Event.product).where(Event.user == user)).all())


@dialogue
def with_parent_of_another_database(session: Session) -> Any:
    user = session.get(User, 3)
    return Bag(session.execute(select(Event.id).join(Event.product).where(with_parent(user, User.events))).all())


@dialogue
def options_through_defaultload(session: Session) -> Any:
    load = defaultload(User.events).defer(Event.payload)
    statement = select(User).join(User.events).where(and_(User.id < 5, Event.quantity > 2))
    return (
        session.scalars(statement.options(contains_eager(User.events), load).order_by(User.id, Event.id)).unique().all()
    )


@dialogue
def counts_of_relationships(session: Session) -> Any:
    counts = select(User.id, func.count(Event.id).label("n")).outerjoin(User.events).group_by(User.id).subquery()
    return session.execute(select(User, counts.c.n).join(counts, counts.c.id == User.id).order_by(User.id)).all()
