"""Generator: random selects over the tables of all databases, whose answer every backend agrees on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy import and_, case, func, inspect, literal, not_, or_, select
from sqlalchemy.orm import aliased, join

from tests.federation.choices import Choices
from tests.federation.models import Animal, Color, Event, Kind, Payment, Product, Stock, User, Visit

LINKS: dict[tuple[Any, Any], Callable[[Any, Any], list[Any]]] = {
    (User, Event): lambda user, event: [event.user_id == user.id],
    (Event, Product): lambda event, product: [product.id == event.product_id],
    (Event, Kind): lambda event, kind: [event.kind_a == kind.a, event.kind_b == kind.b],
    (Payment, Event): lambda payment, event: [payment.event_id == event.id],
    (Payment, User): lambda payment, user: [payment.user_id == user.id],
    (Product, Stock): lambda product, stock: [stock.product_id == product.id],
    (Stock, User): lambda stock, user: [stock.country == user.country, stock.pieces > user.id],
    (Animal, User): lambda animal, user: [animal.owner_id == user.id],
    (Visit, User): lambda visit, user: [visit.user_id == user.id],
    (User, User): lambda user, boss: [user.boss_id == boss.id],
    (Event, Event): lambda event, other: [event.user_id == other.user_id, event.kind_b == other.kind_b],
    (User, Product): lambda user, product: [user.id == product.id],
}
NUMBERS: dict[Any, list[str]] = {
    User: ["id", "boss_id"],
    Event: ["id", "quantity", "user_id", "product_id", "kind_a"],
    Product: ["id", "maker_id"],
    Kind: ["a"],
    Payment: ["id", "user_id", "event_id"],
    Stock: ["pieces", "product_id"],
    Animal: ["id", "owner_id"],
    Visit: ["id", "length"],
}
WORDS: dict[Any, list[str]] = {
    User: ["country", "name"],
    Event: ["kind", "kind_b", "note"],
    Product: ["category", "name"],
    Kind: ["b", "title"],
    Payment: ["means"],
    Stock: ["country"],
    Animal: ["species"],
    Visit: [],
}
OWN: dict[Any, list[Callable[[Any], Any]]] = {
    User: [
        lambda u: u.id < 30,
        lambda u: u.country == "NZ",
        lambda u: u.balance > Decimal("50.5"),
        lambda u: u.active.is_(True),
        lambda u: u.name.like("%1"),
        lambda u: u.color == Color.red,
        lambda u: u.code == "B",
        lambda u: u.score.between(10, 60),
        lambda u: u.active,
    ],
    Event: [
        lambda e: e.quantity > 4,
        lambda e: e.kind == "buy",
        lambda e: e.amount > 5,
        lambda e: e.kind.in_(["see", "Buy"]),
        lambda e: e.note.is_(None),
        lambda e: func.coalesce(e.note, "none") == "none",
        lambda e: case((e.kind == "buy", 1), else_=0) == 1,
        lambda e: e.id % 3 == 0,
        lambda e: e.quantity.in_([]),
        lambda e: e.weight <= 50,
        lambda e: e.kind != "see",
    ],
    Product: [
        lambda p: p.price > 30,
        lambda p: p.category == "tea",
        lambda p: p.id > 20,
        lambda p: p.category.is_(None),
    ],
    Kind: [lambda k: k.a == 1, lambda k: k.b == "x", lambda k: k.title.like("1%")],
    Payment: [lambda p: p.means == "card", lambda p: p.total > 50_000, lambda p: p.id < 40],
    Stock: [lambda s: s.pieces > 20, lambda s: s.country == "NZ"],
    Animal: [lambda a: a.species == "dog", lambda a: a.id < 12],
    Visit: [lambda v: v.length > 3],
}


@dataclass
class Source:
    """A table in a FROM, under a name of its own."""

    model: Any
    entity: Any

    @property
    def numbers(self) -> list[Any]:
        return [getattr(self.entity, name) for name in NUMBERS[self.model]]

    @property
    def words(self) -> list[Any]:
        return [getattr(self.entity, name) for name in WORDS[self.model]]

    @property
    def key(self) -> list[Any]:
        return [getattr(self.entity, column.key) for column in inspect(self.model).primary_key]


@dataclass
class Query:
    """A FROM with its WHERE, and the sources that are known in it: its own, and those around it."""

    tree: Any
    own: list[Source]
    around: list[Source] = field(default_factory=list)
    where: list[Any] = field(default_factory=list)

    def select(self, *columns: Any) -> Any:
        statement = select(*columns).select_from(self.tree).where(*self.where)
        return statement.correlate(*(source.entity for source in self.around)) if self.around else statement


class Generator:
    """Makes one statement of the choices it is given. ``full``: with FULL JOIN, which MariaDB does not know."""

    def __init__(self, choices: Choices, *, full: bool) -> None:
        self._choices = choices
        self._full = full
        self._numbers = count(1)

    def statement(self) -> tuple[Any, bool]:
        """The statement, and whether it says in which order its rows come."""
        kinds = [self.rows, self.rows, self.page, self.groups, self.entities, self.derived, self.set_operation]
        return self._choices.one_of(kinds)()

    def rows(self) -> tuple[Any, bool]:
        query = self.query(joins=3)
        statement = query.select(*self.columns(query.own))
        return (statement.distinct() if self._choices.maybe(25) else statement), False

    def entities(self) -> tuple[Any, bool]:
        query = self.query(joins=2)
        return query.select(*(source.entity for source in query.own[:2])), False

    def page(self) -> tuple[Any, bool]:
        """Ordered by the keys of every source, so that the order is total; NULLs where every backend puts them."""
        query = self.query(joins=3)
        order = [part for column in self.order(query.own) for part in (column.is_(None), column)]
        statement = query.select(*self.columns(query.own), *(key for each in query.own for key in each.key))
        statement = statement.order_by(*order).limit(self._choices.one_of([20, 5, 1, 0, 100]))
        return (statement.offset(3) if self._choices.maybe(30) else statement), True

    def order(self, sources: list[Source]) -> list[Any]:
        first = self._choices.some([number for source in sources for number in source.numbers], 1)
        return [*first, *(key for source in sources for key in source.key)]

    def groups(self) -> tuple[Any, bool]:
        query = self.query(joins=3)
        by = self._choices.some([column for source in query.own for column in (*source.words, *source.numbers)], 2)
        numbers = [column for source in query.own for column in source.numbers]
        functions = [func.count, func.sum, func.min, func.max, lambda column: func.count(column.distinct())]
        values = [self._choices.one_of(functions)(self._choices.one_of(numbers)) for _ in range(2)]
        statement = query.select(*by, func.count().label("n"), *values).group_by(*by)
        if by and self._choices.maybe(30):
            statement = statement.having(func.count() > self._choices.one_of([1, 3, 10]))
        return statement, False

    def derived(self) -> tuple[Any, bool]:
        """A select over a select: of rows, of groups or of the first ones; as a subquery or as a CTE."""
        choices, inner = self._choices, self.query(joins=2)
        number = choices.one_of([column for source in inner.own for column in source.numbers])
        statement = choices.one_of(
            [
                lambda: inner.select(number.label("k"), literal(1).label("n")),
                lambda: inner.select(number.label("k"), func.count().label("n")).group_by(number),
                lambda: inner.select(number.label("k"), number.label("n")).distinct(),
                lambda: (
                    inner.select(number.label("k"), inner.own[0].key[0].label("n"))
                    .order_by(*(part for key in self.order(inner.own) for part in (key.is_(None), key)))
                    .limit(10)
                ),
            ]
        )()
        table = statement.cte(f"c{next(self._numbers)}") if choices.maybe(50) else statement.subquery()
        outer = self.source(choices.one_of([User, Event, Product]))
        isouter = choices.maybe(40)
        matches = and_(outer.entity.id == table.c.k, *self.predicates([outer], 1))
        tree = join(table, outer.entity, matches, isouter=isouter)
        if choices.maybe(25):
            again = table.alias()
            tree = join(tree, again, again.c.k == table.c.n, isouter=choices.maybe(50))
        query = Query(tree, [outer])
        query.where = self.predicates([outer], 2)
        return query.select(table.c.k, table.c.n, *outer.key, *self.columns([outer])), False

    def set_operation(self) -> tuple[Any, bool]:
        one, two = self.query(joins=1), self.query(joins=1)
        left, right = (
            query.select(self._choices.one_of([column for source in query.own for column in source.numbers]))
            for query in (one, two)
        )
        kind = self._choices.one_of(["union_all", "union", "intersect", "except_"])
        return getattr(left, kind)(right), False

    def columns(self, sources: list[Source]) -> list[Any]:
        keys = [source.key[0] for source in sources]
        return keys + self._choices.some([c for source in sources for c in (*source.words, *source.numbers)], 2)

    def query(self, *, joins: int, around: tuple[Source, ...] = (), model: Any = None, depth: int = 2) -> Query:
        """A join tree of up to ``joins`` + 1 tables, with conditions."""
        first = self.source(model or self._choices.one_of([User, Event, Product, Payment, Kind, Stock, Animal]))
        query = Query(first.entity, [first], list(around))
        for _ in range(self._choices.below(joins + 1)):
            self.join(query)
        query.where = self.predicates([*query.own, *around], 3, depth)
        return query

    def join(self, query: Query) -> None:
        near, model = self._choices.one_of(self.neighbours(query.own))
        added = self.source(model)
        right, beside = added.entity, [added]
        if self._choices.maybe(20):  # nested: the right side is a join itself
            link, other = self._choices.one_of(self.neighbours([added]))
            third = self.source(other)
            right = join(right, third.entity, and_(*self.link(link, third)), isouter=self._choices.maybe(50))
            beside.append(third)
        how = self._choices.one_of(["inner", "left", "inner", "left", *(["full"] if self._full else [])])
        more = self.predicates([*query.own, *beside], 0 if how == "full" else 2, 0)
        matches = and_(*self.link(near, added), *more)
        query.tree = join(query.tree, right, matches, isouter=how == "left", full=how == "full")
        query.own += beside

    def neighbours(self, sources: list[Source]) -> list[tuple[Source, Any]]:
        """Each source with the tables that it can be joined to."""
        pairs = [(source, b) for source in sources for a, b in LINKS if a is source.model]
        return pairs + [(source, a) for source in sources for a, b in LINKS if b is source.model and a is not b]

    def link(self, one: Source, other: Source) -> list[Any]:
        if (one.model, other.model) in LINKS:
            return LINKS[one.model, other.model](one.entity, other.entity)
        return LINKS[other.model, one.model](other.entity, one.entity)

    def source(self, model: Any) -> Source:
        return Source(model, aliased(model, name=f"{model.__tablename__[0]}{next(self._numbers)}"))

    def predicates(self, sources: list[Source], most: int, depth: int = 2) -> list[Any]:
        return [self.predicate(sources, depth) for _ in range(self._choices.below(most + 1))]

    def predicate(self, sources: list[Source], depth: int) -> Any:
        """A condition on one of the sources or on several; at depth 0 without subqueries."""
        simple = [self.own, self.own, self.is_null, self.across]
        logic = [self.either, self.negated]
        deep = [*logic, self.exists, self.exists, self.in_subquery, self.compared_with_subquery]
        kinds = [*simple, *(deep if depth > 0 else logic if depth == 0 else [])]
        return self._choices.one_of(kinds)(sources, depth - 1)

    def own(self, sources: list[Source], _: int) -> Any:
        source = self._choices.one_of(sources)
        return self._choices.one_of(OWN[source.model])(source.entity)

    def is_null(self, sources: list[Source], _: int) -> Any:
        source = self._choices.one_of(sources)
        column = self._choices.one_of([*source.numbers, *source.words])
        return column.is_not(None) if self._choices.maybe(40) else column.is_(None)

    def across(self, sources: list[Source], _: int) -> Any:
        """A comparison of two columns, be they of one table or of two databases."""
        one, other = self._choices.one_of(sources), self._choices.one_of(sources)
        if one.words and other.words and self._choices.maybe(30):
            return self._choices.one_of(one.words) == self._choices.one_of(other.words)
        left, right = self._choices.one_of(one.numbers), self._choices.one_of(other.numbers)
        return self._choices.one_of([left < right, left != right, left == right + 1, left.between(right, right + 20)])

    def either(self, sources: list[Source], depth: int) -> Any:
        parts = [self.predicate(sources, depth) for _ in range(2)]
        return or_(*parts) if not self._choices.maybe(30) else or_(and_(*parts), self.predicate(sources, -1))

    def negated(self, sources: list[Source], depth: int) -> Any:
        return not_(self.predicate(sources, depth))

    def exists(self, sources: list[Source], depth: int) -> Any:
        near, model = self._choices.one_of(self.neighbours(sources))
        inner = self.query(joins=1, around=tuple(sources), model=model, depth=depth)
        inner.where = [*self.link(near, inner.own[0]), *inner.where[:2]]
        found = inner.select(literal(1)).exists()
        return ~found if self._choices.maybe(50) else found

    def in_subquery(self, sources: list[Source], depth: int) -> Any:
        column = self._choices.one_of(self._choices.one_of(sources).numbers)
        inner = self.query(joins=1, around=tuple(sources) if self._choices.maybe(25) else (), depth=depth)
        listed = self._choices.one_of(inner.own[0].numbers)
        statement = inner.select(listed)
        return column.not_in(statement) if self._choices.maybe(40) else column.in_(statement)

    def compared_with_subquery(self, sources: list[Source], depth: int) -> Any:
        near, model = self._choices.one_of(self.neighbours(sources))
        inner = self.query(joins=0, around=tuple(sources), model=model, depth=depth)
        inner.where = [*self.link(near, inner.own[0]), *inner.where[:1]]
        value = self._choices.one_of([func.count(), func.max(inner.own[0].numbers[0])])
        found = inner.select(value).scalar_subquery()
        return found > self._choices.one_of([1, 0, 3, 50])
