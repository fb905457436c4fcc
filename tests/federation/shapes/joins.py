"""Joins: inner, left, full and cartesian, of entities, columns, aliases and Core tables, over several databases."""

from typing import Any

from sqlalchemy import and_, func, literal, not_, or_, select, true
from sqlalchemy.orm import aliased, join, outerjoin

from tests.federation.models import Animal, Event, Kind, Maker, Payment, Product, Stock, Tag, User, Visit, user_tags
from tests.federation.shapes.shape import ordered, unordered

boss = aliased(User, name="boss")
other = aliased(Event, name="other")
users, events = User.__table__, Event.__table__


@ordered
def entity_pairs() -> Any:
    return (
        select(User, Event)
        .join(Event, Event.user_id == User.id)
        .where(User.country == "NZ", Event.kind == "buy")
        .order_by(Event.at.desc(), Event.id)
        .limit(50)
    )


@unordered
def entity_pairs_without_conditions() -> Any:
    return select(Event, User).join(User, User.id == Event.user_id)


@unordered
def single_columns() -> Any:
    return select(User.name, Event.kind).join(Event, Event.user_id == User.id)


@unordered
def entity_and_columns() -> Any:
    return select(User, Event.id, Event.amount).join(Event, Event.user_id == User.id).where(User.id < 9)


@unordered
def inferred_condition() -> Any:
    return select(User.id, Event.id).join(Event)


@unordered
def along_a_relationship() -> Any:
    return select(User.id, Event.id).join(User.events)


@unordered
def along_a_relationship_with_more_conditions() -> Any:
    return select(User.id, Event.id).join(User.events.and_(Event.quantity > 5))


@unordered
def along_a_relationship_to_one() -> Any:
    return select(Event.id, User.name).join(Event.user).where(User.active.is_(True))


@unordered
def relationship_of_an_alias() -> Any:
    return select(boss.id, other.id).join(boss.events.of_type(other)).where(other.kind == "see")


@unordered
def cartesian_with_condition() -> Any:
    return select(User.id, Event.id).where(Event.user_id == User.id, User.active.is_(True))


@unordered
def cartesian_without_condition() -> Any:
    return select(User.id, Event.id).where(User.id < 4, Event.id < 6)


@unordered(same=True)
def joined_on_true() -> Any:
    return (
        select(User.id, Product.id, Event.id)
        .select_from(User)
        .join(Product, true())
        .join(Event, true())
        .where(User.id < 3, Product.id < 4, Event.id < 3)
    )


@unordered
def core_tables() -> Any:
    return select(users.c.id, users.c.name, events.c.amount).join(events, events.c.user_id == users.c.id)


@unordered
def whole_core_tables() -> Any:
    """But for the moments with a time zone, see ``moments_with_time_zones``."""
    of_events = [column for column in events.c if column.name != "seen"]
    return select(users, *of_events).join_from(users, events, events.c.user_id == users.c.id).where(events.c.id < 30)


@unordered
def core_aliases() -> Any:
    u, e = users.alias("u"), events.alias("e")
    return select(u.c.id, e.c.id).select_from(u.join(e, and_(e.c.user_id == u.c.id, e.c.quantity < u.c.id)))


@unordered
def columns_of_the_same_name() -> Any:
    return select(User.id, Event.id, Product.id, Event.code, User.code).join(User.events).join(Event.product)


@ordered
def columns_with_labels() -> Any:
    return (
        select(User.id.label("n"), (Event.quantity + 1).label("q"))
        .join(User.events)
        .order_by("n", Event.id)
        .where(Event.quantity > 2)
    )


@unordered
def self_join_and_another_database() -> Any:
    return (
        select(User.id, boss.name, Event.id).join(boss, boss.id == User.boss_id).join(Event, Event.user_id == boss.id)
    )


@unordered
def same_table_twice() -> Any:
    return (
        select(User.id, Event.id, other.id)
        .join(Event, Event.user_id == User.id)
        .join(other, other.user_id == User.id)
        .where(Event.kind == "buy", other.kind == "see", Event.id < other.id)
    )


@unordered
def self_join_of_the_other_database_through_this_one() -> Any:
    return (
        select(Event.id, other.id)
        .join(User, User.id == Event.user_id)
        .join(other, and_(other.user_id == User.boss_id, other.kind_b == Event.kind_b))
    )


@unordered
def chain_over_three() -> Any:
    return (
        select(User.name, Event.id, Product.name)
        .join(Event, Event.user_id == User.id)
        .join(Product, Product.id == Event.product_id)
        .where(Product.price > 20)
    )


@unordered
def chain_over_three_that_begins_in_the_middle() -> Any:
    return select(Event, User, Product).join(Event.user).join(Event.product).where(Event.quantity == 3)


@unordered
def chain_with_left_joins() -> Any:
    return select(Event.id, User.id, Product.id).outerjoin(Event.user).outerjoin(Event.product)


@unordered
def chain_of_four_tables() -> Any:
    return (
        select(User.id, Event.id, Product.id, Maker.name)
        .join(Event, Event.user_id == User.id)
        .join(Product, Product.id == Event.product_id)
        .join(Maker, Maker.id == Product.maker_id)
    )


@unordered
def two_tables_at_each_end() -> Any:
    return (
        select(Tag.label, User.id, Event.id, Payment.total)
        .select_from(User)
        .join(user_tags, user_tags.c.user_id == User.id)
        .join(Tag, Tag.id == user_tags.c.tag_id)
        .join(Event, Event.user_id == User.id)
        .join(Payment, Payment.event_id == Event.id)
    )


@unordered
def many_to_many_at_home() -> Any:
    return select(Tag.label, Event.id).select_from(User).join(User.tags).join(User.events).where(Event.kind == "Buy")


@unordered
def cluster_that_the_statement_interrupts() -> Any:
    return (
        select(Event.id, User.id, Payment.id)
        .join(User, User.id == Event.user_id)
        .join(Payment, and_(Payment.event_id == Event.id, Payment.user_id == User.id), isouter=True)
        .where(Event.id < 120)
    )


@unordered
def triangle() -> Any:
    """Each of the three tables is joined to both others."""
    return (
        select(User.id, Stock.product_id, Event.id)
        .join(Event, Event.user_id == User.id)
        .join(Stock, and_(Stock.product_id == Event.product_id, Stock.country == User.country))
    )


@unordered
def left_join() -> Any:
    return select(User.id, Event.id).outerjoin(Event, Event.user_id == User.id)


@unordered
def left_join_of_entities() -> Any:
    return select(User, Event).outerjoin(Event, and_(Event.user_id == User.id, Event.quantity > 9))


@unordered
def left_join_with_right_side_condition() -> Any:
    return select(User.id, Event.id).outerjoin(Event, and_(Event.user_id == User.id, Event.kind == "see"))


@unordered
def left_join_with_left_side_condition() -> Any:
    """The condition does not take users away: it decides which of them find events."""
    return select(User.id, Event.id).outerjoin(Event, and_(Event.user_id == User.id, User.active.is_(True)))


@unordered
def left_join_with_conditions_of_both_sides() -> Any:
    matches = and_(Event.user_id == User.id, or_(User.country == "NZ", Event.quantity > 8), Event.id < 200)
    return select(User.id, Event.id).outerjoin(Event, matches)


@unordered
def left_join_then_condition_on_the_right() -> Any:
    return select(User.id, Event.id).outerjoin(Event, Event.user_id == User.id).where(Event.amount > 5)


@unordered
def left_join_then_right_is_null() -> Any:
    return (
        select(User.id).outerjoin(Event, and_(Event.user_id == User.id, Event.kind == "Buy")).where(Event.id.is_(None))
    )


@unordered
def left_join_then_nullable_column_is_null() -> Any:
    return select(User.id, Event.id).outerjoin(Event, Event.user_id == User.id).where(Event.note.is_(None))


@unordered
def left_join_then_right_may_be_null() -> Any:
    missing = or_(Event.amount > 8, Event.id.is_(None))
    return select(User.id, Event.id).outerjoin(Event, Event.user_id == User.id).where(missing)


@unordered
def left_join_then_coalesce_on_the_right() -> Any:
    return (
        select(User.id, func.coalesce(Event.quantity, -99))
        .outerjoin(Event, and_(Event.user_id == User.id, Event.quantity > 8))
        .where(func.coalesce(Event.quantity, -99) < 10)
    )


@unordered
def left_join_then_not_on_the_right() -> Any:
    return (
        select(User.id, Event.id)
        .outerjoin(Event, and_(Event.user_id == User.id, Event.quantity > 4))
        .where(not_(and_(Event.kind == "buy", Event.id.is_not(None))))
    )


@unordered
def same_condition_in_on_and_where() -> Any:
    few = Event.quantity > 6
    return select(User.id, Event.id).outerjoin(Event, and_(Event.user_id == User.id, few)).where(or_(few, User.id < 9))


@unordered
def shared_condition_in_on_and_where() -> Any:
    """The same object stands in an ON, where it must stay, and in the WHERE, which a fragment may answer."""
    few = User.id < 20
    return (
        select(User.id, Event.id)
        .outerjoin(Event, and_(Event.user_id == User.id, few))
        .where(User.active.is_(True), few)
    )


@unordered
def left_join_then_inner_join() -> Any:
    return (
        select(User.id, Event.id, Product.id)
        .outerjoin(Event, Event.user_id == User.id)
        .join(Product, Product.id == Event.product_id)
    )


@unordered
def left_join_of_an_inner_join() -> Any:
    """Nested: users with those events only whose product exists."""
    inner = join(Event, Product, Product.id == Event.product_id)
    return select(User.id, Event.id, Product.id).select_from(outerjoin(User, inner, Event.user_id == User.id))


@unordered
def inner_join_of_a_left_join() -> Any:
    inner = join(Event, Payment, Payment.event_id == Event.id, isouter=True)
    return select(User.id, Event.id, Payment.id).select_from(join(User, inner, Event.user_id == User.id))


@unordered
def left_joins_in_a_row() -> Any:
    return (
        select(User.id, boss.id, Event.id, Product.id)
        .outerjoin(boss, boss.id == User.boss_id)
        .outerjoin(Event, and_(Event.user_id == boss.id, Event.quantity > 7))
        .outerjoin(Product, and_(Product.id == Event.product_id, Product.price > 30))
    )


@unordered
def right_join_written_as_left() -> Any:
    return select(User.id, Event.id).select_from(Event).outerjoin(User, and_(User.id == Event.user_id, User.id > 30))


@unordered(lacking="mariadb")
def full_join() -> Any:
    return select(User.id, Event.id).join(Event, Event.user_id == User.id, full=True)


@unordered(lacking="mariadb")
def full_join_with_where() -> Any:
    rest = or_(Event.amount > 5, Event.id.is_(None))
    return select(User.id, Event.id).join(Event, Event.user_id == User.id, full=True).where(rest)


@unordered(lacking="mariadb")
def full_join_of_entities() -> Any:
    return (
        select(User, Event).join(Event, Event.user_id == User.id, full=True).where(or_(User.id < 9, User.id.is_(None)))
    )


@unordered(lacking="mariadb")
def full_join_and_left_join() -> Any:
    return (
        select(User.id, Event.id, Product.id)
        .join(Event, Event.user_id == User.id, full=True)
        .outerjoin(Product, Product.id == Event.product_id)
    )


@unordered
def composite_key() -> Any:
    return select(Kind, Event.id).join(Event, and_(Event.kind_a == Kind.a, Event.kind_b == Kind.b))


@unordered
def composite_key_left() -> Any:
    return select(Event.id, Kind.title).outerjoin(Kind, and_(Event.kind_a == Kind.a, Event.kind_b == Kind.b))


@unordered
def null_keys_do_not_meet() -> Any:
    return (
        select(User.id, Event.id)
        .join(Event, and_(Event.kind_b == User.country, Event.user_id == User.id))
        .union_all(select(Event.id, Animal.id).join(Animal, Event.kind_a == Animal.id))
    )


@unordered
def null_keys_that_meet() -> Any:
    """IS NOT DISTINCT FROM: NULL meets NULL."""
    return (
        select(User.id, Event.id)
        .join(Event, Event.code.is_not_distinct_from(User.code))
        .where(User.id < 9, Event.id < 40)
    )


@unordered
def on_strings() -> Any:
    return (
        select(User.id, Stock.product_id, Event.id)
        .join(Stock, Stock.country == User.country)
        .join(Event, and_(Event.product_id == Stock.product_id, Event.quantity > 8))
    )


@unordered
def on_uuids() -> Any:
    return select(User.id, Event.id).join(Event, Event.token == User.token)


@unordered
def on_dates() -> Any:
    return select(Event.id, Product.id).join(Product, Product.since == Event.day)


@unordered
def on_enums() -> Any:
    return select(User.id, Event.id).join(Event, Event.color == User.color).where(User.id < 6, Event.quantity > 8)


@unordered
def on_decorated_values() -> Any:
    return select(User.id, Event.id, Event.code).join(Event, Event.code == User.code).where(User.id < 6, Event.id < 60)


@unordered
def on_an_expression() -> Any:
    return select(User.id, Event.id).join(Event, Event.user_id == User.id * 2 + 1)


@unordered
def on_expressions_of_both_sides() -> Any:
    return select(User.id, Event.id).join(Event, Event.id % 20 == User.id % 21).where(User.id < 25, Event.id < 50)


@unordered
def on_inequalities() -> Any:
    return select(User.id, Event.id).join(Event, and_(Event.id > User.id * 4, Event.id < User.id * 4 + 3))


@unordered
def on_a_range_of_dates() -> Any:
    return (
        select(Event.id, Product.id)
        .join(Product, Event.day.between(Product.since, Product.since))
        .where(Product.category == "tea")
    )


@unordered
def on_either_of_two_keys() -> Any:
    return (
        select(User.id, Event.id)
        .join(Event, or_(Event.user_id == User.id, Event.product_id == User.id))
        .where(User.id.between(10, 20))
    )


@unordered
def keys_of_many_rows_each() -> Any:
    return select(Event.id, Stock.pieces).join(Stock, Stock.product_id == Event.product_id)


@unordered(empty=True, same=True)
def with_an_empty_table() -> Any:
    return select(User.id, Visit.id).join(Visit, Visit.user_id == User.id)


@unordered
def left_join_of_an_empty_table() -> Any:
    return select(User.name, Visit.id, Visit.length).outerjoin(Visit, Visit.user_id == User.id)


@unordered(empty=True, same=True)
def condition_that_nothing_meets() -> Any:
    return select(User, Event).join(User.events).where(User.id == -1)


@unordered
def only_constants_selected() -> Any:
    return select(literal(1), literal("x")).select_from(User).join(User.events).where(Event.amount > 9)


@unordered
def condition_across_databases() -> Any:
    return select(User.id, Event.id).join(User.events).where(User.balance > Event.amount * 5)


@unordered
def or_across_databases() -> Any:
    return select(User.id, Event.id).join(User.events).where(or_(User.country == "AU", Event.kind == "see"))


@unordered
def not_across_databases() -> Any:
    return select(User.id, Event.id).join(User.events).where(not_(or_(User.country == "AU", Event.kind == "see")))


@unordered
def pushable_or_of_one_side_in_a_larger_one() -> Any:
    return (
        select(User.id, Event.id)
        .join(User.events)
        .where(
            or_(and_(User.country == "NZ", Event.kind == "buy"), and_(User.country == "AU", Event.kind == "see")),
            or_(Event.quantity > 3, Event.note.is_(None)),
        )
    )


@unordered
def two_joins_to_the_same_parent() -> Any:
    payer = aliased(User)
    return (
        select(Payment.id, User.name, payer.name)
        .join(Event, Event.id == Payment.event_id)
        .join(User, User.id == Event.user_id)
        .outerjoin(payer, payer.id == Payment.user_id)
    )
