"""Subqueries: EXISTS, IN, any() and has(), scalar ones, derived tables, LATERAL; correlated over databases or not."""

from typing import Any

from sqlalchemy import (
    Integer,
    String,
    all_,
    and_,
    any_,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    values,
)
from sqlalchemy.orm import aliased

from tests.federation.models import Animal, Event, Kind, Maker, Payment, Product, Stock, User, Visit
from tests.federation.shapes.shape import ordered, unordered

other = aliased(Event, name="other")
friend = aliased(User, name="friend")


@unordered
def exists_correlated() -> Any:
    return select(User).where(exists().where(Event.user_id == User.id, Event.amount > 9))


@unordered
def exists_with_a_condition_across() -> Any:
    return select(User.id).where(exists().where(Event.user_id == User.id, Event.amount > User.balance))


@unordered
def not_exists() -> Any:
    return select(User.id).where(~exists().where(Event.user_id == User.id))


@unordered
def not_exists_with_conditions() -> Any:
    return select(User.id, User.name).where(
        User.active.is_(True), ~exists().where(Event.user_id == User.id, Event.kind == "buy", Event.quantity > 3)
    )


@unordered
def not_exists_with_outer_condition_inside() -> Any:
    """The condition on the outer row belongs to the EXISTS: where it fails, the row stays."""
    return select(User.id).where(~exists().where(Event.user_id == User.id, User.active.is_(True)))


@unordered
def exists_or_condition() -> Any:
    return select(User.id).where(or_(User.country == "US", exists().where(Event.user_id == User.id, Event.amount > 9)))


@unordered
def exists_in_the_select_list() -> Any:
    return select(User.id, exists().where(Event.user_id == User.id, Event.kind == "käse").label("has"))


@unordered
def exists_nested() -> Any:
    inner = exists().where(friend.id == Event.user_id, friend.country == User.country, friend.id != User.id)
    return select(User.id).where(exists().where(Event.product_id == User.id, inner))


@unordered
def exists_over_a_join_of_both() -> Any:
    return select(Product.id).where(
        exists(
            select(1)
            .select_from(Event)
            .join(User, User.id == Event.user_id)
            .where(Event.product_id == Product.id, User.country == "NZ")
        )
    )


@unordered
def exists_uncorrelated() -> Any:
    return select(User.id).where(exists(select(Event.id).where(Event.quantity > 5)))


@unordered(same=True)
def exists_alone() -> Any:
    return select(exists(select(User.id).join(User.events).where(Event.id == 3)))


@unordered
def in_subquery() -> Any:
    return select(User.name).where(User.id.in_(select(Event.user_id).where(Event.kind == "buy", Event.quantity > 8)))


@unordered
def in_subquery_of_the_other_side() -> Any:
    return select(Event.id).where(Event.user_id.in_(select(User.id).where(User.country == "DE")))


@unordered(empty=True, same=True)
def not_in_with_nulls() -> Any:
    """Nothing is outside of a list that holds NULL."""
    return select(User.id).where(User.id.not_in(select(Event.user_id)))


@unordered
def not_in_without_nulls() -> Any:
    return select(User.id).where(User.id.not_in(select(Event.user_id).where(Event.user_id.is_not(None))))


@unordered
def not_in_of_a_nullable_column() -> Any:
    return select(Event.id).where(Event.user_id.not_in(select(User.id).where(User.country == "NZ")))


@unordered
def not_in_an_empty_table() -> Any:
    """Also rows whose key is NULL are outside of an empty list."""
    return select(Event.id).where(Event.user_id.not_in(select(Visit.user_id)))


@unordered
def not_in_of_another_database_that_is_empty() -> Any:
    return select(User.id).where(User.boss_id.not_in(select(Visit.user_id)))


@unordered
def in_subquery_or_condition() -> Any:
    return select(User.id).where(or_(User.id < 5, User.id.in_(select(Event.user_id).where(Event.amount > 9))))


@unordered
def in_subquery_in_the_select_list() -> Any:
    return select(User.id, User.id.in_(select(Event.product_id).where(Event.product_id.is_not(None))).label("sold"))


@unordered
def tuple_in_subquery() -> Any:
    return select(Event.id).where(tuple_(Event.kind_a, Event.kind_b).in_(select(Kind.a, Kind.b)))


@unordered
def tuple_not_in_subquery() -> Any:
    kinds = select(Kind.a, Kind.b).where(Kind.a < 4)
    return select(Event.id).where(
        tuple_(Event.kind_a, Event.kind_b).not_in(kinds), Event.kind_a.is_not(None), Event.kind_b.is_not(None)
    )


@unordered
def in_a_subquery_with_both_databases() -> Any:
    return select(Product.id).where(
        Product.id.in_(select(Event.product_id).join(User, User.id == Event.user_id).where(User.active.is_(True)))
    )


@unordered
def any_of_a_relationship() -> Any:
    return select(User.id).where(User.events.any(Event.amount > 9))


@unordered
def not_any_of_a_relationship() -> Any:
    return select(User.id).where(~User.events.any())


@unordered
def has_of_a_relationship() -> Any:
    return select(Event.id).where(Event.user.has(User.country == "AU"))


@unordered
def not_has_of_a_relationship() -> Any:
    """Also events without a user, and those whose user is missing."""
    return select(Event.id).where(~Event.user.has(User.country == "NZ"))


@unordered
def any_in_has() -> Any:
    return select(Payment.id).where(Payment.user.has(User.events.any(Event.kind == "see")))


@unordered
def association_proxy_contains() -> Any:
    return select(User.id).where(User.event_kinds.contains("käse"))


@unordered
def scalar_subquery_correlated() -> Any:
    best = select(func.max(Event.amount)).where(Event.user_id == User.id).scalar_subquery()
    return select(User.id, best.label("best"))


@unordered
def scalar_count_of_nothing_is_zero() -> Any:
    """COUNT of no rows is 0, not NULL."""
    count = select(func.count(Event.id)).where(Event.user_id == User.id, Event.quantity > 10).scalar_subquery()
    return select(User.id, count.label("count"))


@unordered
def scalar_subqueries_of_two_databases() -> Any:
    events = select(func.count()).where(Event.product_id == Product.id).scalar_subquery()
    pieces = select(func.sum(Stock.pieces)).where(Stock.product_id == Product.id).scalar_subquery()
    return select(Product.id, events.label("events"), pieces.label("pieces"))


@unordered
def scalar_subquery_in_where() -> Any:
    many = select(func.count(other.id)).where(other.user_id == User.id, other.kind == Event.kind).scalar_subquery()
    return select(User.id, Event.id).join(User.events).where(many > 1)


@unordered
def scalar_subquery_with_order_and_limit() -> Any:
    last = (
        select(Event.kind)
        .where(Event.user_id == User.id)
        .order_by(Event.at.desc(), Event.id)
        .limit(1)
        .scalar_subquery()
    )
    return select(User.id, last.label("last"))


@unordered
def scalar_subquery_uncorrelated() -> Any:
    return select(User.id).where(User.balance > select(func.avg(Event.amount) * 10).scalar_subquery())


@unordered
def scalar_subquery_in_an_expression() -> Any:
    total = select(func.sum(Event.quantity)).scalar_subquery()
    return select(User.id, (User.id + total).label("n"))


@ordered
def scalar_subquery_in_order() -> Any:
    count = select(func.count(Event.id)).where(Event.user_id == User.id).scalar_subquery()
    return select(User.id).order_by(count.desc(), User.id)


@unordered
def doubly_correlated() -> Any:
    """The inner query knows a row of each database."""
    return (
        select(User.id, Event.id)
        .join(User.events)
        .where(exists().where(Payment.event_id == Event.id, Payment.id > User.id))
    )


@unordered
def correlated_to_the_outermost() -> Any:
    inner = select(func.count(Payment.id)).where(Payment.user_id == User.id).correlate(User).scalar_subquery()
    return select(User.id).where(exists().where(Event.user_id == User.id, Event.quantity > inner))


@unordered(lacking="sqlite")
def greater_than_all() -> Any:
    return select(User.id).where(
        User.id > all_(select(Event.product_id).where(Event.quantity == 7, Event.product_id < 40).scalar_subquery())
    )


@unordered(lacking="sqlite")
def equal_to_any() -> Any:
    return select(User.id).where(User.id == any_(select(Event.product_id).where(Event.quantity == 3).scalar_subquery()))


@unordered
def derived_table_of_the_other_database() -> Any:
    sums = (
        select(Event.user_id, func.sum(Event.quantity).label("total"), func.count().label("n"))
        .group_by(Event.user_id)
        .subquery()
    )
    return select(User.id, sums.c.total, sums.c.n).join(sums, sums.c.user_id == User.id)


@unordered
def derived_table_left_joined() -> Any:
    sums = select(Event.user_id, func.count().label("n")).group_by(Event.user_id).subquery()
    return select(User.id, func.coalesce(sums.c.n, 0)).outerjoin(sums, sums.c.user_id == User.id)


@unordered
def derived_table_with_limit() -> Any:
    """The limit belongs to the derived table: no key may reach below it."""
    first = select(Event.id, Event.user_id).order_by(Event.at, Event.id).limit(25).subquery()
    return select(User.id, first.c.id).join(first, first.c.user_id == User.id)


@unordered
def derived_table_distinct() -> Any:
    kinds = select(Event.user_id, Event.kind).distinct().subquery()
    return select(User.name, kinds.c.kind).join(kinds, kinds.c.user_id == User.id)


@unordered
def derived_table_of_a_join_of_both() -> Any:
    both = (
        select(User.country.label("c"), Event.id.label("e"), Event.product_id.label("p")).join(User.events).subquery()
    )
    return select(both.c.c, Product.name).join(Product, Product.id == both.c.p)


@unordered
def derived_table_twice() -> Any:
    sums = select(Event.user_id, func.sum(Event.quantity).label("total")).group_by(Event.user_id).subquery()
    again = sums.alias("again")
    return (
        select(User.id, sums.c.total, again.c.total)
        .join(sums, sums.c.user_id == User.id)
        .outerjoin(again, again.c.user_id == User.boss_id)
    )


@unordered
def entity_of_a_subquery() -> Any:
    some = select(Event).where(Event.quantity > 4).subquery()
    late = aliased(Event, some)
    return select(User, late).join(late, late.user_id == User.id)


@unordered
def entity_of_a_subquery_over_both() -> Any:
    some = select(User).where(User.events.any(Event.quantity > 9)).subquery()
    active = aliased(User, some)
    return select(active).where(active.country == "NZ")


@unordered(lacking="mariadb sqlite")
def lateral_best_two() -> Any:
    best = (
        select(Event.id.label("e"), Event.amount)
        .where(Event.user_id == User.id)
        .order_by(Event.amount.desc(), Event.id)
        .limit(2)
        .lateral("best")
    )
    return select(User.id, best.c.e).join(best, true())


@unordered(lacking="mariadb sqlite")
def lateral_left() -> Any:
    one = select(Event.id.label("e")).where(Event.user_id == User.id, Event.quantity > 9).limit(1).order_by(Event.id)
    last = one.lateral("last")
    return select(User.id, last.c.e).outerjoin(last, true())


@unordered(lacking="mariadb sqlite")
def values_construct() -> Any:
    words = values(column("k", Integer), column("word", String), name="words").data([(1, "one"), (2, "two"), (9, "x")])
    return select(User.id, Event.id, words.c.word).join(User.events).join(words, words.c.k == User.id)


@unordered
def count_of_a_subquery() -> Any:
    both = select(User.id, Event.id.label("e")).join(User.events).subquery()
    return select(func.count()).select_from(both)


@unordered
def exists_with_group_by_and_having() -> Any:
    busy = select(Event.user_id).group_by(Event.user_id).having(func.count() > 5)
    return select(User.id, User.name).where(User.id.in_(busy))


@unordered
def having_with_a_subquery() -> Any:
    limit = select(func.count(Animal.id)).scalar_subquery()
    return (
        select(User.country, func.count(Event.id))
        .join(User.events)
        .group_by(User.country)
        .having(func.count(Event.id) > limit)
    )


@unordered
def semi_join_over_three() -> Any:
    bought = select(Event.user_id).join(Product, Product.id == Event.product_id).where(Product.category == "tea")
    return select(User.id).where(User.id.in_(bought), exists().where(Maker.country == User.country))


@unordered
def in_a_union() -> Any:
    ids = select(Event.user_id).where(Event.quantity > 10).union(select(Animal.owner_id))
    return select(User.id).where(User.id.in_(ids))


@unordered
def literal_in_a_subquery() -> Any:
    return select(Event.id, Event.quantity).where(literal(7).in_(select(User.id).where(User.id == Event.quantity)))


@unordered
def case_of_exists() -> Any:
    bought = exists().where(Event.user_id == User.id, Event.kind == "buy")
    return select(User.id, and_(bought, User.active.is_(True)).label("both"))
