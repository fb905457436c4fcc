"""Set operations and common table expressions, recursive ones too."""

from typing import Any

from sqlalchemy import except_, func, intersect, literal, select, union, union_all
from sqlalchemy.orm import aliased

from tests.federation.models import Animal, Event, Maker, Product, User
from tests.federation.shapes.shape import ordered, unordered

boss = aliased(User, name="boss")


@unordered
def union_of_two_databases() -> Any:
    return union(select(User.id).where(User.id < 9), select(Event.user_id).where(Event.id < 20))


@unordered
def union_all_of_two_databases() -> Any:
    return union_all(select(User.id, User.name).where(User.country == "NZ"), select(Event.id, Event.kind))


@ordered
def union_all_with_order_and_limit() -> Any:
    return (
        union_all(
            select(User.id.label("n"), User.name.label("word")).where(User.country == "NZ"),
            select(Event.id, Event.kind).where(Event.id < 9),
        )
        .order_by("n", "word")
        .limit(7)
    )


@unordered(same=True)
def union_of_three_databases() -> Any:
    return union(select(User.country), select(Event.kind_b), select(Maker.country))


@unordered(same=True)
def union_with_nulls() -> Any:
    return union(select(User.boss_id), select(Event.kind_a))


@unordered
def union_of_joins() -> Any:
    return union(
        select(User.id, Event.kind).join(User.events).where(Event.quantity > 9),
        select(User.id, Product.category).join(User.events).join(Event.product).where(Product.price > 80),
    )


@unordered
def union_of_different_types() -> Any:
    return union_all(select(Event.quantity).where(Event.id < 9), select(User.balance).where(User.id < 9))


@unordered
def except_of_two_databases() -> Any:
    return except_(select(User.id), select(Event.user_id))


@unordered
def intersect_of_two_databases() -> Any:
    return intersect(select(User.id), select(Event.product_id))


@unordered(same=True)
def intersect_with_nulls() -> Any:
    """For sets NULL is like NULL."""
    return intersect(select(User.boss_id), select(Event.kind_a))


@unordered(lacking="sqlite")
def except_all() -> Any:
    return select(Event.user_id).except_all(select(User.id))


@unordered(lacking="sqlite")
def nested_set_operations() -> Any:
    return union(except_(select(User.id), select(Event.user_id)), select(Animal.owner_id))


@unordered
def union_in_a_derived_table() -> Any:
    both = union_all(select(User.id.label("n")), select(Event.user_id)).subquery()
    return select(both.c.n, func.count()).group_by(both.c.n)


@unordered
def union_joined_to_a_third() -> Any:
    owners = union(select(Animal.owner_id.label("u")), select(Event.user_id).where(Event.quantity > 9)).subquery()
    return select(User.name, owners.c.u).join(owners, owners.c.u == User.id)


@unordered
def union_of_entities() -> Any:
    some = union_all(select(User).where(User.id < 5), select(User).where(User.id > 30, User.active)).subquery()
    chosen = aliased(User, some)
    return select(chosen, Event.id).join(Event, Event.user_id == chosen.id)


@unordered(same=True)
def union_with_constants() -> Any:
    return union_all(
        select(literal("user").label("what"), User.id).where(User.id < 4),
        select(literal("event"), Event.id).where(Event.id < 4),
    )


@unordered
def cte_of_one_database() -> Any:
    sums = select(Event.user_id, func.sum(Event.quantity).label("n")).group_by(Event.user_id).cte("sums")
    return select(User.name, sums.c.n).join(sums, sums.c.user_id == User.id)


@unordered(same=True)
def cte_of_both() -> Any:
    both = select(User.country.label("c"), Event.quantity.label("q")).join(User.events).cte("both")
    return select(both.c.c, func.max(both.c.q)).group_by(both.c.c)


@unordered
def cte_used_twice() -> Any:
    sums = select(Event.user_id, func.sum(Event.quantity).label("n")).group_by(Event.user_id).cte("sums")
    again = sums.alias("again")
    return (
        select(User.id, sums.c.n, again.c.n)
        .join(sums, sums.c.user_id == User.id)
        .join(again, again.c.user_id == User.boss_id)
    )


@unordered
def cte_of_both_used_twice() -> Any:
    both = select(User.id.label("u"), func.count(Event.id).label("n")).join(User.events).group_by(User.id).cte("both")
    again = both.alias("again")
    return select(both.c.u, again.c.u).join(again, again.c.n == both.c.n).where(both.c.u < again.c.u)


@unordered
def cte_in_a_subquery() -> Any:
    buyers = select(Event.user_id).where(Event.kind == "Buy").cte("buyers")
    return select(User.id).where(User.id.in_(select(buyers.c.user_id)))


@unordered
def cte_of_a_cte() -> Any:
    late = select(Event.id, Event.user_id, Event.quantity).where(Event.quantity > 2).cte("late")
    sums = select(late.c.user_id, func.count().label("n")).group_by(late.c.user_id).cte("sums")
    return (
        select(User.id, sums.c.n, late.c.id).join(sums, sums.c.user_id == User.id).join(late, late.c.user_id == User.id)
    )


@unordered
def cte_as_an_entity() -> Any:
    some = select(Event).where(Event.quantity > 5).cte("some")
    chosen = aliased(Event, some)
    return select(User, chosen).join(chosen, chosen.user_id == User.id)


@unordered
def recursive_cte() -> Any:
    """All who are below user 2, with what they did."""
    below = select(User.id, literal(0).label("depth")).where(User.id == 2).cte("below", recursive=True)
    below = below.union_all(select(User.id, below.c.depth + 1).where(User.boss_id == below.c.id))
    return select(below.c.id, below.c.depth, Event.id).join(Event, Event.user_id == below.c.id)


@unordered
def recursive_cte_over_both() -> Any:
    """From a user to the products of their events, which are users again: a walk through two databases."""
    walk = select(User.id.label("n")).where(User.id == 3).cte("walk", recursive=True)
    walk = walk.union(
        select(Event.product_id).join(User, User.id == Event.user_id).where(User.id == walk.c.n, Event.quantity > 8)
    )
    return select(walk.c.n)


@unordered
def recursive_cte_of_numbers() -> Any:
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 12))
    return (
        select(numbers.c.n, User.id, Event.id)
        .join(User, User.id == numbers.c.n)
        .outerjoin(Event, Event.id == numbers.c.n)
    )
