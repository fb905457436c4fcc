"""Aggregates: grouping, HAVING, DISTINCT, filters, grouping sets, and windows."""

from typing import Any

from sqlalchemy import Numeric, and_, case, cast, distinct, extract, func, literal, select, tuple_
from sqlalchemy.orm import aliased

from tests.federation.models import Event, Kind, Payment, Product, Stock, User, Visit
from tests.federation.shapes.shape import ordered, unordered

other = aliased(Event, name="other")


def pairs(*columns: Any) -> Any:
    return select(*columns).select_from(User).join(Event, Event.user_id == User.id)


@unordered
def group_by_with_sum_and_count() -> Any:
    return pairs(User.country, func.sum(Event.amount), func.count()).group_by(User.country)


@unordered
def group_by_a_column_of_each() -> Any:
    return pairs(User.country, Event.kind, func.count(), func.sum(Event.quantity)).group_by(User.country, Event.kind)


@unordered
def group_by_an_expression() -> Any:
    rich = case((User.balance > 50, "rich"), else_="poor")
    return pairs(rich.label("r"), func.count(Event.id)).group_by(rich)


@unordered
def group_by_a_label() -> Any:
    return pairs(func.coalesce(Event.note, User.country, "?").label("word"), func.count()).group_by("word")


@unordered
def group_by_the_primary_key() -> Any:
    return pairs(User.id, User.name, func.count(Event.id)).group_by(User.id, User.name)


@unordered
def group_by_three() -> Any:
    return (
        pairs(User.country, Product.category, func.count(), func.max(Event.amount))
        .join(Product, Product.id == Event.product_id)
        .group_by(User.country, Product.category)
    )


@unordered
def group_by_over_a_left_join() -> Any:
    """Users without events count 0 of them, and 1 row."""
    return (
        select(User.id, func.count(Event.id), func.count(), func.sum(Event.quantity))
        .outerjoin(Event, Event.user_id == User.id)
        .group_by(User.id)
    )


@unordered(same=True)
def group_by_without_aggregates() -> Any:
    return pairs(User.country, Event.kind).group_by(User.country, Event.kind)


@unordered
def sums_of_a_join_that_repeats_rows() -> Any:
    """Each event counts once per payment, so what is summed before the join is multiplied by it."""
    return (
        pairs(User.country, func.sum(Event.quantity), func.count(Payment.id), func.sum(User.id))
        .join(Payment, Payment.event_id == Event.id)
        .group_by(User.country)
    )


@unordered
def aggregates_of_everything() -> Any:
    return pairs(
        func.count(), func.sum(Event.amount), func.min(Event.at), func.max(User.name), func.sum(Event.quantity)
    )


@unordered(same=True)
def aggregates_of_nothing() -> Any:
    return select(func.count(), func.count(Visit.id), func.sum(Visit.length), func.max(User.name)).join_from(
        User, Visit, Visit.user_id == User.id
    )


@unordered(empty=True, same=True)
def groups_of_nothing() -> Any:
    return select(User.country, func.count()).join(Visit, Visit.user_id == User.id).group_by(User.country)


@unordered
def having() -> Any:
    return pairs(User.country, func.count()).group_by(User.country).having(func.count() > 20)


@unordered
def having_of_what_is_not_selected() -> Any:
    return pairs(User.id).group_by(User.id).having(func.sum(Event.quantity) > 20, func.max(Event.amount) > 5)


@unordered
def having_over_a_group_column() -> Any:
    return pairs(User.country, func.sum(Event.quantity)).group_by(User.country).having(User.country != "NZ")


@unordered
def count_distinct() -> Any:
    return pairs(
        User.country, func.count(distinct(Event.user_id)), func.count(distinct(Event.kind)), func.count(Event.note)
    ).group_by(User.country)


@unordered(same=True)
def sum_distinct() -> Any:
    return pairs(User.active, func.sum(distinct(Event.quantity))).group_by(User.active)


@unordered(lacking="mariadb")
def filtered_aggregates() -> Any:
    return pairs(
        User.country,
        func.count().filter(Event.kind == "buy"),
        func.sum(Event.quantity).filter(User.active.is_(True), Event.quantity > 0),
    ).group_by(User.country)


@unordered
def sum_of_a_case() -> Any:
    return pairs(User.country, func.sum(case((Event.kind == "buy", Event.quantity), else_=0))).group_by(User.country)


@unordered(digits=10)
def averages() -> Any:
    return pairs(User.country, func.avg(Event.amount), func.avg(Event.quantity), func.avg(Event.weight)).group_by(
        User.country
    )


@unordered(digits=10)
def averages_of_the_other_side() -> Any:
    return pairs(Event.kind, func.avg(User.balance), func.avg(User.score)).group_by(Event.kind)


@unordered
def sums_of_integers_decimals_and_floats() -> Any:
    return pairs(func.sum(Event.quantity), func.sum(Event.amount), func.sum(Event.weight), func.sum(User.balance))


@unordered
def sums_of_groups_of_nulls_only() -> Any:
    rest = (Event.id % 150).label("rest")
    return pairs(rest, func.sum(Event.amount), func.min(Event.note)).group_by("rest")


@unordered
def minima_and_maxima() -> Any:
    return pairs(
        User.country, func.min(Event.amount), func.max(Event.day), func.min(Event.weight), func.max(User.joined)
    ).group_by(User.country)


@unordered(nonsense="sqlite")
def sum_of_many_digits() -> Any:
    """More than a double holds."""
    matches = and_(Event.kind_a == Kind.a, Event.kind_b == Kind.b)
    return select(Event.kind, func.sum(Kind.worth), func.max(Kind.worth)).join(Kind, matches).group_by(Event.kind)


@unordered
def sum_of_decimals_by_the_other_side() -> Any:
    return (
        select(User.country, func.sum(Payment.total)).join(Payment, Payment.user_id == User.id).group_by(User.country)
    )


@unordered
def sum_of_a_product_across() -> Any:
    return pairs(Event.kind, func.sum(User.id * Event.quantity)).group_by(Event.kind)


@unordered
def expression_over_aggregates() -> Any:
    return pairs(User.country, (func.sum(Event.quantity) * 2 + func.count()).label("n")).group_by(User.country)


@unordered
def aggregate_of_a_coalesce() -> Any:
    return pairs(User.id, func.sum(func.coalesce(Event.quantity, 0) + User.id)).group_by(User.id)


@unordered(lacking="sqlite")
def rollup() -> Any:
    return pairs(User.country, Event.kind, func.count()).group_by(func.rollup(User.country, Event.kind))


@unordered(lacking="mariadb sqlite")
def grouping_sets() -> Any:
    sets = func.grouping_sets(tuple_(User.country), tuple_(Event.kind), tuple_())
    return pairs(User.country, Event.kind, func.sum(Event.quantity)).group_by(sets)


@unordered(lacking="mariadb sqlite")
def cube() -> Any:
    return pairs(User.active, Event.kind, func.count()).group_by(func.cube(User.active, Event.kind))


@unordered(same=True)
def distinct_rows() -> Any:
    return pairs(User.country, Event.kind).distinct()


@unordered
def distinct_with_nulls() -> Any:
    return pairs(User.country, Event.note, Event.kind_a).distinct()


@ordered
def distinct_with_order_and_limit() -> Any:
    return pairs(User.id, Event.kind).distinct().order_by(User.id, Event.kind).limit(9)


@unordered
def distinct_entities() -> Any:
    return select(User.id, User.name, User.balance).join(User.events).where(Event.quantity > 7).distinct()


@ordered(nonsense="mariadb sqlite")
def distinct_on() -> Any:
    return pairs(User.id, Event.id, Event.at).distinct(User.id).order_by(User.id, Event.at, Event.id)


@unordered
def row_numbers() -> Any:
    number = func.row_number().over(partition_by=User.country, order_by=(Event.at, Event.id))
    return pairs(User.id, Event.id, number.label("n"))


@unordered
def ranks() -> Any:
    over = {"partition_by": User.active, "order_by": Event.quantity.desc()}
    return pairs(Event.id, func.rank().over(**over), func.dense_rank().over(**over))


@unordered
def first_of_each_group() -> Any:
    ranked = (
        pairs(
            User.id.label("u"),
            Event.id.label("e"),
            func.row_number().over(partition_by=User.id, order_by=(Event.amount, Event.id)).label("n"),
        )
        .where(Event.amount.is_not(None))
        .subquery()
    )
    return select(ranked.c.u, ranked.c.e).where(ranked.c.n == 1)


@unordered
def running_sums() -> Any:
    total = func.sum(Event.quantity).over(partition_by=User.id, order_by=Event.id)
    return pairs(User.id, Event.id, total.label("total"))


@unordered
def window_with_a_frame() -> Any:
    near = func.sum(Event.quantity).over(partition_by=User.id, order_by=Event.id, rows=(-1, 1))
    return pairs(Event.id, near.label("near"))


@unordered
def neighbours() -> Any:
    by = {"partition_by": User.id, "order_by": Event.id}
    return pairs(Event.id, func.lag(Event.kind).over(**by), func.lead(Event.quantity, 2).over(**by))


@unordered
def window_over_everything() -> Any:
    return pairs(User.id, Event.id, func.count().over().label("all")).where(Event.quantity > 5)


@unordered
def window_over_groups() -> Any:
    total = func.sum(Event.quantity)
    return pairs(User.country, total, func.rank().over(order_by=total.desc())).group_by(User.country)


@unordered
def group_by_a_month() -> Any:
    month = extract("month", Product.since)
    return (
        select(User.active, month.label("m"), func.count())
        .select_from(User)
        .join(User.events)
        .join(Product, Product.id == Event.product_id)
        .group_by(User.active, month)
    )


@unordered
def group_by_over_a_group_by() -> Any:
    per_user = (
        pairs(User.country.label("c"), User.id.label("u"), func.count().label("n"))
        .group_by(User.country, User.id)
        .subquery()
    )
    return select(per_user.c.c, func.max(per_user.c.n), func.count()).group_by(per_user.c.c)


@unordered
def aggregate_joined_to_rows() -> Any:
    pieces = select(Stock.country, func.sum(Stock.pieces).label("n")).group_by(Stock.country).subquery()
    return pairs(User.id, Event.id, pieces.c.n).join(pieces, pieces.c.country == User.country)


@ordered
def top_groups() -> Any:
    total = func.sum(Event.quantity)
    return pairs(User.id, total).group_by(User.id).order_by(total.desc(), User.id).limit(5)


@unordered(digits=10)
def ratio_of_sums() -> Any:
    share = cast(func.sum(Event.quantity), Numeric(20, 6)) / func.count()
    return pairs(User.country, share.label("share")).group_by(User.country)


@unordered
def constant_group() -> Any:
    return pairs(literal(1).label("one"), func.count(Event.id)).group_by("one")
