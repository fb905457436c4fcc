"""Trees: the FROM and WHERE of one SELECT as fragments, joined. Pure.

Inner joins are dissolved into pools: several items under one list of conditions, in no order. Outer joins stay where
they are. Conditions then sink as deep as they may, and what one database holds of a pool, and its conditions connect,
becomes one fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sqlalchemy import BinaryExpression, ColumnClause, ColumnElement, FromClause, FromGrouping, Join, Null, and_, true
from sqlalchemy.sql import operators

from manybase.federation.alternatives import factored, implied
from manybase.federation.expressions import are_same, conjuncts, is_false_for_null, uses
from manybase.federation.fragments import Fragment
from manybase.federation.rules import KEEP_FULL, KEEP_NULLABLE, KEEP_PRESERVED, holds

Condition: TypeAlias = ColumnElement[Any]


@dataclass(eq=False, slots=True)
class Unit:
    """What one database could answer as it stands: a table, a derived table, an outer join of its own tables."""

    source: FromClause
    database: str
    tables: set[int]


@dataclass(eq=False, slots=True)
class Rest:
    """A FROM element that no database can answer: it is left to the executor."""

    source: FromClause
    tables: set[int]


@dataclass(eq=False, slots=True)
class Pool:
    """Items that are all joined, and what must be true of a row of them."""

    items: list[Node] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    @property
    def tables(self) -> set[int]:
        return {table for item in self.items for table in item.tables}


@dataclass(eq=False, slots=True)
class Outer:
    """An outer join; ``left`` is preserved, and with ``full`` both sides are. ``anti``: only what has no match is."""

    kind: Literal["left", "full", "anti"]
    left: Pool
    right: Pool
    conditions: list[Condition]

    @property
    def tables(self) -> set[int]:
        return self.left.tables | self.right.tables


Node: TypeAlias = "Unit | Rest | Outer | Fragment"
Home: TypeAlias = Callable[[FromClause], "str | None"]


class Planter:
    """Makes the tree of one SELECT. ``home`` is the database that could answer a FROM element alone, or None.

    ``fits`` tells whether a condition may be sent to a database as it stands, ``alone`` whether the SELECT uses tables
    in no other place than FROM and that condition.
    """

    def __init__(
        self,
        home: Home,
        fits: Callable[[Condition, str], bool],
        make: Callable[[str], Fragment],
        alone: Callable[[set[int], Condition], bool],
        has_full: Callable[[str], bool] = bool,
    ) -> None:
        self._home = home
        self._fits = fits
        self._make = make
        self._alone = alone
        self._has_full = has_full

    def plant(self, froms: Sequence[FromClause], where: Iterable[Condition]) -> Pool:
        pool = Pool([], list(parts(where)))
        for each in froms:
            self.add(each, pool)
        added = self.add_implied(pool)
        self.sink(pool)
        self.gather(pool)
        remove(added, pool)
        return pool

    def add_implied(self, pool: Pool) -> list[Condition]:
        """What conditions on several databases say of one table: its database may decide that. They stay as well."""
        homes = {table: leaf.database for leaf in leaves(pool) if isinstance(leaf, Unit) for table in leaf.tables}
        added = []
        for conditions in lists_of_conditions(pool):
            for condition in list(conditions):
                tables = [table for table in uses(condition).tables if table in homes]
                if len({homes[table] for table in tables}) > 1:
                    found = [one for one in (implied(condition, table) for table in tables) if one is not None]
                    conditions += found
                    added += found
        return added

    def add(self, source: FromClause, pool: Pool) -> None:
        if isinstance(source, FromGrouping):
            self.add(source.element, pool)
        elif not isinstance(source, Join):
            database = self._home(source)
            tables = {hash(source)}
            pool.items.append(Rest(source, tables) if database is None else Unit(source, database, tables))
        elif source.full:
            left, right = self.side(source.left), self.side(source.right)
            pool.items.append(Outer("full", left, right, list(parts([source.onclause]))))
        elif source.isouter and not self.is_matched(source.right, pool.conditions):
            self.add_outer(source, pool)
        else:
            pool.conditions += parts([source.onclause])
            self.add(source.left, pool)
            self.add(source.right, pool)

    def add_outer(self, source: Join, pool: Pool) -> None:
        """(a join x) left join b is (a left join b) join x, where only a decides which b."""
        left, right = self.side(source.left), self.side(source.right)
        conditions = list(parts([source.onclause]))
        outside = {t for each in conditions for t in uses(each).tables} - right.tables
        for index, item in enumerate(left.items):
            if len(left.items) > 1 and outside and outside <= item.tables and isinstance(item, Unit):
                left.items[index] = Outer("left", Pool([item]), right, conditions)
                pool.items += left.items
                pool.conditions += left.conditions
                return
        missing = self.missing_match(right, conditions, pool)
        if missing is not None:
            pool.conditions.remove(missing)
        pool.items.append(Outer("left" if missing is None else "anti", left, right, conditions))

    def missing_match(self, right: Pool, conditions: list[Condition], pool: Pool) -> Condition | None:
        """The ``IS NULL`` that leaves only rows without a match, where nothing else is asked of the right side."""
        if not all(isinstance(item, Unit) for item in right.items):
            return None
        for each in pool.conditions:
            column = each.left if isinstance(each, BinaryExpression) and each.operator is operators.is_ else None
            if not isinstance(column, ColumnClause) or not isinstance(each.right, Null):
                continue
            if hash(column.table) not in right.tables or not self._alone(right.tables, each):
                continue
            if getattr(column, "nullable", True) is False or any(is_side_of(column, one) for one in conditions):
                return each
        return None

    def side(self, source: FromClause) -> Pool:
        pool = Pool()
        self.add(source, pool)
        return pool

    def is_matched(self, right: FromClause, conditions: Iterable[Condition]) -> bool:
        """Whether a condition above refuses the rows that have no match: then it is an inner join."""
        tables = {hash(each) for each in sources(right)}
        return any(is_false_for_null(each, tables) for each in conditions)

    def sink(self, pool: Pool) -> None:
        """Move each condition to the deepest pool that decides it alone."""
        for item in pool.items:
            if isinstance(item, Outer):
                if item.kind != "full" or not holds(KEEP_FULL):
                    pool.conditions = self.sunk(pool.conditions, item.left)
                if not holds(KEEP_NULLABLE):
                    pool.conditions = self.sunk(pool.conditions, item.right)
                if item.kind != "full" or not holds(KEEP_FULL):
                    item.conditions = self.sunk(item.conditions, item.right)
                if not holds(KEEP_PRESERVED):
                    item.conditions = self.sunk(item.conditions, item.left)
                self.sink(item.left)
                self.sink(item.right)

    def sunk(self, conditions: list[Condition], pool: Pool) -> list[Condition]:
        tables, left = pool.tables, []
        for each in conditions:
            used = uses(each)
            if used.tables and used.tables <= tables and not used.subqueries and not used.volatile:
                pool.conditions.append(each)
            else:
                left.append(each)
        return left

    def gather(self, pool: Pool) -> None:
        """Make fragments of what one database holds in a pool and can connect, and give them what they decide."""
        pool.items = [self.folded(each, pool) for each in pool.items]
        groups = [[each] for each in pool.items if isinstance(each, Unit)]
        for condition in pool.conditions:
            linked = [group for group in groups if self.touches(condition, group)]
            databases = {unit.database for group in linked for unit in group}
            if len(linked) > 1 and len(databases) == 1 and self._fits(condition, databases.pop()):
                groups = [group for group in groups if group not in linked] + [[u for g in linked for u in g]]
        fragments = [self.fragment(group) for group in groups]
        pool.items = [*fragments, *(each for each in pool.items if not isinstance(each, Unit))]
        for fragment in fragments:
            self.decide(fragment, pool)

    def fragment(self, units: list[Unit]) -> Fragment:
        made = self._make(units[0].database)
        made.sources = [unit.source for unit in units]
        made.tables = {table for unit in units for table in unit.tables}
        return made

    def decide(self, fragment: Fragment, pool: Pool) -> None:
        left = []
        for condition in pool.conditions:
            used = uses(condition)
            inside = used.tables & fragment.tables
            if (
                inside
                and not used.tables & (pool.tables - fragment.tables)
                and self._fits(condition, fragment.database)
            ):
                fragment.where.append(condition)
            else:
                left.append(condition)
        pool.conditions = left

    def touches(self, condition: Condition, group: list[Unit]) -> bool:
        return bool(uses(condition).tables & {table for unit in group for table in unit.tables})

    def folded(self, node: Node, pool: Pool) -> Node:
        """An outer join whose two sides one database holds is that database's."""
        if not isinstance(node, Outer):
            return node
        database = self.only_database(node)
        if database is not None and has_kind("full", node) and not self._has_full(database):
            database = None
        if database is not None and all(self._fits(each, database) for each in all_conditions(node)):
            joined = as_join(node)
            if joined is not None:
                pool.conditions += joined[1]
                return Unit(joined[0], database, node.tables)
        self.gather(node.left)
        self.gather(node.right)
        return node

    def only_database(self, node: Node) -> str | None:
        names = {leaf.database if isinstance(leaf, Unit) else None for leaf in leaves(node)}
        return names.pop() if len(names) == 1 and not has_kind("anti", node) else None


def parts(conditions: Iterable[Condition | None]) -> Iterator[Condition]:
    """What is ANDed together in them."""
    for condition in conditions:
        for each in conjuncts(condition):
            yield from factored(each)


def lists_of_conditions(pool: Pool) -> Iterator[list[Condition]]:
    yield pool.conditions
    for item in pool.items:
        if isinstance(item, Outer):
            yield item.conditions
            yield from lists_of_conditions(item.left)
            yield from lists_of_conditions(item.right)


def remove(conditions: list[Condition], pool: Pool) -> None:
    """What no database was to decide, and need not be."""
    for known in lists_of_conditions(pool):
        known[:] = [each for each in known if not any(each is one for one in conditions)]


def has_kind(kind: str, node: Node | Pool) -> bool:
    """Whether there is such a join in it; for an anti join SQL has no word."""
    if isinstance(node, Pool):
        return any(has_kind(kind, item) for item in node.items)
    return isinstance(node, Outer) and (node.kind == kind or has_kind(kind, node.left) or has_kind(kind, node.right))


def is_side_of(column: ColumnClause[Any], condition: Condition) -> bool:
    """Whether a match makes sure that a column is not NULL: it is equal to something."""
    if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
        return False
    sides = (condition.left, condition.right)
    return any(isinstance(side, ColumnClause) and are_same(side, column) for side in sides)


def sources(source: Any) -> Iterator[Any]:
    """The FROM elements of a tree of joins."""
    if isinstance(source, FromGrouping):
        yield from sources(source.element)
    elif isinstance(source, Join):
        yield from sources(source.left)
        yield from sources(source.right)
    else:
        yield source


def joins_in(source: Any) -> Iterator[Join]:
    if isinstance(source, FromGrouping):
        yield from joins_in(source.element)
    elif isinstance(source, Join):
        yield source
        yield from joins_in(source.left)
        yield from joins_in(source.right)


def leaves(node: Node | Pool) -> Iterator[Node]:
    if isinstance(node, Outer):
        yield from leaves(node.left)
        yield from leaves(node.right)
    elif isinstance(node, Pool):
        for item in node.items:
            yield from leaves(item)
    else:
        yield node


def fragments_of(node: Node | Pool) -> set[Fragment]:
    return {each for each in leaves(node) if isinstance(each, Fragment)}


def nullable(node: Node | Pool) -> set[Fragment]:
    """The fragments that may be missing in a row, seen from above."""
    if isinstance(node, Pool):
        return set().union(*map(nullable, node.items))
    if isinstance(node, Outer):
        left = fragments_of(node.left) if node.kind == "full" else nullable(node.left)
        return left | fragments_of(node.right)
    return set()


def all_conditions(node: Node | Pool) -> Iterator[Condition]:
    if isinstance(node, Pool):
        yield from node.conditions
        for item in node.items:
            yield from all_conditions(item)
    elif isinstance(node, Outer):
        yield from node.conditions
        yield from all_conditions(node.left)
        yield from all_conditions(node.right)


def as_join(node: Node) -> tuple[FromClause, list[Condition]] | None:
    """The outer join again, and the conditions to be decided above it; None where SQL has no place for them."""
    if not isinstance(node, Outer):
        assert isinstance(node, Unit)
        return node.source, []
    left, right = pool_as_join(node.left), pool_as_join(node.right)
    if left is None or right is None or (node.kind == "full" and (left[1] or right[1])):
        return None
    condition = and_(true(), *node.conditions, *right[1])
    return left[0].join(right[0], condition, isouter=True, full=node.kind == "full"), left[1]


def pool_as_join(pool: Pool) -> tuple[FromClause, list[Condition]] | None:
    joins = [as_join(item) for item in pool.items]
    known = [join for join in joins if join is not None]
    if len(known) < len(joins):
        return None
    conditions = [*pool.conditions, *(each for _, above in known for each in above)]
    joined, *others = [source for source, _ in known]
    for number, other in enumerate(others, 1):
        joined = joined.join(other, and_(true(), *(conditions if number == len(others) else ())))
    return joined, [] if others else conditions
