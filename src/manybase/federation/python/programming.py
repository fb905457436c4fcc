"""Programming: makes the program of a statement from its plan, or says what it would need that Python does not do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Exists,
    FunctionElement,
    FunctionFilter,
    Grouping,
    Integer,
    Label,
    Select,
    Subquery,
    UnaryExpression,
)
from sqlalchemy.sql import operators, visitors

from manybase.federation import internals
from manybase.federation.expressions import AGGREGATES, are_same, name_of, uses
from manybase.federation.fragments import Fragment, Output, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.dense import Dense
from manybase.federation.python.evaluating import Evaluating, NotCovered, Value, are_comparable, kind_of
from manybase.federation.python.grouping import Aggregate, aggregate
from manybase.federation.python.joining import Keys
from manybase.federation.python.partial import Partial, combine, partial_of
from manybase.federation.python.program import (
    Concatenation,
    Distinct,
    Fetch,
    Filter,
    Group,
    Join,
    Limit,
    Match,
    Order,
    Program,
    Project,
    Sort,
    Source,
    Top,
)
from manybase.federation.semantics import Semantics
from manybase.federation.staging import in_order
from manybase.federation.trees import Condition, Node, Outer, Pool, Rest, fragments_of

Locate = Callable[[Any, Scope, "set[Fragment]"], "Output | None"]
SETS = {"UNION": True, "UNION ALL": False}  # whether what is twice there counts once


class Layout:
    """Where the outputs of fragments, and the columns of derived tables, stand in a row."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, int]] = []  # a fragment or a derived table, and how many columns are before it

    def of(self, item: Any, before: int) -> Layout:
        made = Layout()
        made.items = [*self.items, (item, before)]
        return made

    def joined(self, other: Layout, width: int) -> Layout:
        made = Layout()
        made.items = [*self.items, *((item, before + width) for item, before in other.items)]
        return made

    @property
    def tables(self) -> set[int]:
        return {table for item, _ in self.items for table in item.tables}

    def before(self, item: Any) -> int | None:
        return next((before for each, before in self.items if each is item), None)


class Part:
    """Rows, and where in them everything stands."""

    def __init__(self, source: Source, layout: Layout, missing: set[Fragment]) -> None:
        self.source = source
        self.layout = layout
        self.missing = missing


class Derived:
    """A subquery in FROM that is a program of its own; its columns by name."""

    def __init__(self, rest: Rest, names: list[str], values: list[Value]) -> None:
        self.tables = rest.tables
        self.names = names
        self.values = values


class Programming:
    def __init__(
        self,
        plan: Plan,
        locate: Locate,
        name: Callable[[BindParameter[Any]], str],
        semantics: Semantics,
        folds: Callable[[Fragment, Any], bool],
        backend: Callable[[str], str],
    ) -> None:
        self._plan = plan
        self._locate = locate
        self._name = name
        self._semantics = semantics
        self._folds = folds
        self._backend = backend
        self._joined: Part | None = None
        self._top: Top | None = None
        self._partial: Partial | None = None
        self._fragments = list(plan.fragments)

    def program(self, statement: Any) -> Program:
        source = self.statement(statement)
        return Program(source, self._fragments, self.probe(source), self._top, self.dense())

    def probe(self, source: Source) -> Fragment | None:
        """The fragment whose rows pass through, and need not be kept."""
        while not isinstance(source, Fetch):
            if isinstance(source, (Sort, Concatenation)):
                return None
            source = source.source  # type: ignore[attr-defined]
        return source.fragment

    def statement(self, statement: Any) -> Source:
        if isinstance(statement, CompoundSelect):
            return self.compound(statement)
        scope = self._plan.scopes.get(id(statement))
        if scope is None:
            raise NotCovered(f"a {type(statement).__name__}")
        return self.select(scope)

    def compound(self, statement: CompoundSelect[Any]) -> Source:
        kind = str(getattr(statement.keyword, "value", statement.keyword))
        if kind not in SETS or internals.is_limited(statement) or internals.order_by_of(statement):
            raise NotCovered(kind if kind not in SETS else "ORDER BY or LIMIT of a UNION")
        sources = [self.statement(unwrapped(each)) for each in statement.selects]
        columns = [self._plan.scopes[id(unwrapped(each))].columns for each in statement.selects]
        for together in zip(*columns, strict=True):
            if len({repr(column.type) for column in together}) > 1:
                raise NotCovered("a UNION of several types")
            if SETS[kind] and kind_of(together[0].type) is None:
                raise NotCovered("a UNION of values that have no equality here")
        together_again = Concatenation(sources)
        return Distinct(together_again) if SETS[kind] else together_again

    # ---- one SELECT

    def select(self, scope: Scope) -> Source:
        if scope.whole is not None:
            return Fetch(scope.whole)
        select = scope.select
        if internals.has_oddities(select) or internals.distinct_on_of(select) or internals.is_fetched(select):
            raise NotCovered("DISTINCT ON, FETCH or text in SELECT")
        if scope.rolls_up:
            raise NotCovered("GROUP BY of several groupings")
        first = self.comes_first(scope)
        self.begin_at_home(scope)
        part = self.pool(scope.tree, scope, first)
        find = self.finder(part, scope)
        self._joined = part
        source = part.source
        if scope.grouping is not None:
            source, find = self.group(scope, source, find)
        evaluating = Evaluating(find, self._name, self._semantics)
        having = internals.having_of(select)
        if having:
            source = Filter(source, [evaluating.value(each) for each in having])
        columns = [evaluating.value(column) for column in scope.columns]
        orders = [self.order(each, scope, evaluating) for each in internals.order_by_of(select)]
        if internals.is_distinct(select):
            return self.limited(select, self.distinct(source, columns, orders, scope), evaluating)
        if orders:
            source = Sort(source, orders)
        if first is not None and isinstance(part.source, (Join, Match, Filter, Fetch)):
            self.ask_for_first(first, select, orders, evaluating)
        return Project(self.limited(select, source, evaluating), columns)

    def dense(self) -> Dense | None:
        """Where groups that begin at home could be those of the other fragment's rows."""
        begun, scope = self._partial, self._plan.scopes.get(id(self._plan.root))
        if begun is None or scope is None or self._joined is None or len(self._fragments) != 2:
            return None
        known = next(each for each in self._fragments if each is not begun.fragment)
        conditions = scope.tree.conditions
        if begun.fragment.grouping != 1 or len(conditions) != 1 or known.whole is not None:
            return None
        if self._backend(begun.fragment.database) != "postgresql":
            return None
        if not isinstance(begun.fragment.outputs[0].type, Integer):
            return None
        part = Part(Fetch(known), Layout().of(known, 0), set())
        find = self.finder(part, scope)
        sides = [each for each in (conditions[0].left, conditions[0].right) if uses(each).tables <= known.tables]
        if len(sides) != 1 or any(not uses(each).tables <= known.tables for each in scope.grouping or ()):
            return None
        return Dense(begun.fragment, known, find(sides[0]), [find(each) for each in scope.grouping or ()])

    def begin_at_home(self, scope: Scope) -> None:
        if scope.grouping is None:
            return
        made = partial_of(self._plan, scope, partial(self._locate_in, scope), self._backend)
        if made is not None:
            self._partial = made
            self._fragments = [made.fragment if each is made.whole else each for each in self._fragments]

    def _locate_in(self, scope: Scope, clause: Any) -> Output | None:
        return self._locate(clause, scope, scope.nullable)

    def comes_first(self, scope: Scope) -> Fragment | None:
        """The fragment whose first rows, in the order that is asked for, make the first rows of the result."""
        select, tree = scope.select, scope.tree
        clauses = [unordered(each) for each in internals.order_by_of(select)]
        if scope.around or not clauses or internals.limit_of(select) is None or internals.is_distinct(select):
            return None
        if scope.grouping is not None or internals.having_of(select) or any(isinstance(c, str) for c in clauses):
            return None
        found = {None if (o := self._locate(c, scope, scope.nullable)) is None else o for c in clauses}
        fragments = [f for f in self._plan.fragments if any(output in f.outputs for output in found)]
        if None in found or len(fragments) != 1 or fragments[0] in scope.nullable or fragments[0].whole is not None:
            return None
        if any(kind_of(clause.type) in (None, str) for clause in clauses) or len(self._plan.scopes) > 1:
            return None
        item = next((each for each in tree.items if fragments[0] in fragments_of(each)), None)
        while isinstance(item, Outer):
            if item.kind == "full" or len(item.left.items) > 1:
                return None
            item = item.left.items[0]
        return fragments[0]

    def ask_for_first(self, fragment: Fragment, select: Any, orders: list[Order], evaluating: Evaluating) -> None:
        clauses: list[Any] = []
        for clause, order in zip(internals.order_by_of(select), orders, strict=True):
            expression = unordered(clause)
            if getattr(expression, "nullable", True) is not False:
                missing = expression.is_(None)
                clauses.append(missing.desc() if order.nulls_first else missing.asc())
            clauses.append(expression.desc() if order.descending else expression.asc())
        fragment.first = clauses
        offset = internals.offset_of(select)
        limit = evaluating.value(internals.limit_of(select))
        self._top = Top(fragment, limit, None if offset is None else evaluating.value(offset))

    def distinct(self, source: Source, columns: list[Value], orders: list[Order], scope: Scope) -> Source:
        for each in columns:
            if kind_of(each.type) is None or each.folds:
                raise NotCovered(f"DISTINCT of {each.type!r}")
        found: Source = Distinct(Project(source, columns))
        if not orders:
            return found
        places = []
        for order in orders:
            place = next((n for n, each in enumerate(columns) if each == order.value), None)
            if place is None:
                raise NotCovered("ORDER BY of what DISTINCT does not select")
            places.append(Order(Value(order.value.type, place), order.descending, order.nulls_first))
        return Sort(found, places)

    def limited(self, select: Select[Any], source: Source, evaluating: Evaluating) -> Source:
        if not internals.is_limited(select):
            return source
        limit, offset = internals.limit_of(select), internals.offset_of(select)
        return Limit(
            source,
            None if limit is None else evaluating.value(limit),
            None if offset is None else evaluating.value(offset),
        )

    def order(self, clause: Any, scope: Scope, evaluating: Evaluating) -> Order:
        descending, nulls_first = False, None
        clause = internals.label_of(clause)
        while isinstance(clause, UnaryExpression) and clause.modifier is not None:
            if clause.modifier is operators.desc_op:
                descending = True
            elif clause.modifier is operators.nulls_first_op:
                nulls_first = True
            elif clause.modifier is operators.nulls_last_op:
                nulls_first = False
            clause = internals.label_of(clause.element)
        if isinstance(clause, str):
            found = [column for column in scope.columns if getattr(column, "name", None) == clause]
            if len(found) != 1:
                raise NotCovered("ORDER BY of a name")
            clause = found[0]
        if isinstance(clause, Label):
            clause = clause.element
        value = evaluating.value(clause)
        if kind_of(value.type) is None or value.folds:
            raise NotCovered(f"ORDER BY of {value.type!r}")
        first = self._semantics.nulls_first != descending if nulls_first is None else nulls_first
        return Order(value, descending, first)

    def group(self, scope: Scope, source: Source, find: Any) -> tuple[Source, Any]:
        evaluating = Evaluating(find, self._name, self._semantics)
        assert scope.grouping is not None
        keys = [evaluating.value(each) for each in scope.grouping]
        for each in keys:
            if kind_of(each.type) is None or each.folds:
                raise NotCovered(f"GROUP BY of {each.type!r}")
        group = Group(source, keys, [], always=not keys)
        known: list[tuple[Any, Value]] = [
            (each, Value(key.type, number, key.folds))
            for number, (each, key) in enumerate(zip(scope.grouping, keys, strict=True))
        ]

        def find_grouped(clause: Any) -> Value | None:
            for each, value in known:
                if are_same(each, clause):
                    return value
            made = self.aggregated(clause, evaluating) or self.first(clause, find)
            if made is None:
                return None
            group.aggregates.append(made[0])
            value = Value(clause.type, group.width - 1, made[1])
            known.append((clause, value))
            return value

        return group, find_grouped

    def aggregated(self, clause: Any, evaluating: Evaluating) -> tuple[Aggregate, bool] | None:
        condition = None
        if self._partial is not None:
            return self.combined(clause, self._partial)
        if isinstance(clause, FunctionFilter):
            condition = evaluating.value(clause.criterion)
            clause = clause.func
        if not isinstance(clause, FunctionElement) or name_of(clause) not in AGGREGATES:
            return None
        arguments: list[Any] = list(clause.clauses)
        if len(arguments) > 1:
            raise NotCovered(f"{name_of(clause)}() of several arguments")
        only = arguments[0] if arguments else None
        distinct = isinstance(only, UnaryExpression) and only.operator is operators.distinct_op
        if isinstance(only, UnaryExpression) and distinct:
            only = only.element
        star = only is None or (is_column(only) and only.is_literal)
        value = None if star else evaluating.value(only)
        if distinct and value is not None and (kind_of(value.type) is None or value.folds):
            raise NotCovered(f"DISTINCT of {value.type!r}")
        finish = aggregate(name_of(clause), value, clause.type, self._semantics)
        return Aggregate(value, finish, distinct, condition), bool(value and value.folds)

    def combined(self, clause: Any, begun: Partial) -> tuple[Aggregate, bool] | None:
        parts = begun.parts_of(clause)
        if parts is None or self._joined is None:
            return None
        values: list[Value] = [Placed(self._joined, begun.fragment, part, part.type) for part in parts]
        value, finish = combine(clause, values, self._semantics, self._backend(begun.whole.database))
        return Aggregate(value, finish), False

    def first(self, clause: Any, find: Any) -> tuple[Aggregate, bool] | None:
        """A column of a group: what the grouping decides, so that of any row."""
        value = find(clause) if isinstance(clause, ColumnElement) else None
        if value is None:
            return None
        return Aggregate(value, aggregate("first", value, clause.type, self._semantics)), value.folds

    # ---- FROM and WHERE

    def pool(self, pool: Pool, scope: Scope, first: Fragment | None = None) -> Part:
        parts = [self.node(each, scope) for each in pool.items]
        if not parts:
            raise NotCovered("a SELECT without FROM")
        order = in_order(self._fragments)
        parts.sort(key=lambda part: max((order.index(f) for f, _ in part.layout.items if f in order), default=-1))
        conditions = list(pool.conditions)
        leading = [part for part in parts if first is not None and part.layout.before(first) is not None]
        part = leading[0] if leading else parts[-1]
        parts.remove(part)
        part, conditions = self.filtered(part, conditions, scope)
        while parts:
            other = next((each for each in parts if self.keys(part, each, conditions, scope)[0].left), parts[-1])
            parts.remove(other)
            keys, conditions = self.keys(part, other, conditions, scope)
            part = self.join(part, other, keys, [], outer=False)
            part, conditions = self.filtered(part, conditions, scope)
        for condition in conditions:
            part = self.matching(part, condition, scope)
        return part

    def node(self, node: Node, scope: Scope) -> Part:
        if isinstance(node, Fragment):
            if self._partial is not None and node is self._partial.whole:
                node = self._partial.fragment
            return Part(Fetch(node), Layout().of(node, 0), set())
        if isinstance(node, Rest):
            return self.derived(node)
        assert isinstance(node, Outer)
        if node.kind == "full":
            raise NotCovered("a FULL JOIN")
        left, right = self.pool(node.left, scope), self.pool(node.right, scope)
        if node.kind == "anti":
            return self.match(left, right, node.conditions, scope, scope, wanted=False)
        keys, conditions = self.keys(left, right, node.conditions, scope)
        joined = self.join(left, right, keys, [], outer=True)
        joined.missing = left.missing | right.missing
        evaluating = Evaluating(self.finder(joined, scope), self._name, self._semantics)
        values = [evaluating.value(each) for each in conditions]
        joined = self.join(left, right, keys, values, outer=True)
        joined.missing = left.missing | fragments_of(node.right)
        return joined

    def derived(self, rest: Rest) -> Part:
        source: Any = rest.source
        if not isinstance(source, Subquery) or type(source).__name__ == "Lateral":
            raise NotCovered(f"{type(source).__name__} in FROM")
        inner = unwrapped(source.element)
        scope = self._plan.scopes.get(id(inner))
        program = self.statement(inner)
        columns = scope.columns if scope is not None else self._plan.scopes[id(unwrapped(inner.selects[0]))].columns
        names = [column.key for column in source.c]
        if len(names) != len(columns):
            raise NotCovered("a derived table with columns of the same name")
        values = [Value(column.type, number) for number, column in enumerate(columns)]
        return Part(program, Layout().of(Derived(rest, names, values), 0), set())

    def join(self, part: Part, other: Part, keys: Keys, conditions: list[Value], *, outer: bool) -> Part:
        source = Join(part.source, other.source, keys, conditions, outer)
        layout = Deferred(part, other)
        return Part(source, layout, part.missing | other.missing)

    def filtered(self, part: Part, conditions: list[Condition], scope: Scope) -> tuple[Part, list[Condition]]:
        """With the conditions applied that the row decides by now."""
        ready, rest = list[Condition](), list[Condition]()
        for each in conditions:
            used = uses(each)
            known = not used.subqueries and used.tables & scope_tables(scope) <= part.layout.tables
            (ready if known else rest).append(each)
        if not ready:
            return part, rest
        evaluating = Evaluating(self.finder(part, scope), self._name, self._semantics)
        values = [evaluating.value(each) for each in ready]
        return Part(Filter(part.source, values), part.layout, part.missing), rest

    def keys(self, part: Part, other: Part, conditions: list[Condition], scope: Scope) -> tuple[Keys, list[Condition]]:
        """What must be equal in a match, and the conditions that say more."""
        keys, rest = Keys([], []), []
        left = Evaluating(self.finder(part, scope), self._name, self._semantics)
        right = Evaluating(self.finder(other, scope), self._name, self._semantics)
        for condition in conditions:
            sides = equal_sides(condition, part.layout.tables, other.layout.tables)
            if sides is None:
                rest.append(condition)
                continue
            first, second = left.value(sides[0]), right.value(sides[1])
            if not are_comparable(first, second):
                raise NotCovered(f"a comparison of {first.type!r} with {second.type!r}")
            keys.left.append(first)
            keys.right.append(second)
        return keys, rest

    def matching(self, part: Part, condition: Any, scope: Scope) -> Part:
        """EXISTS and IN of a subquery."""
        wanted = True
        while isinstance(condition, Grouping) or is_not(condition):
            wanted = wanted != is_not(condition)
            condition = condition.element
        if isinstance(condition, Exists):
            return self.exists(part, condition, scope, wanted=wanted)
        if isinstance(condition, BinaryExpression) and condition.operator in (operators.in_op, operators.not_in_op):
            return self.within(part, condition, scope, wanted=wanted == (condition.operator is operators.in_op))
        raise NotCovered("a condition with a subquery")

    def exists(self, part: Part, condition: Any, scope: Scope, *, wanted: bool) -> Part:
        inner = self._plan.scopes.get(id(select_in(condition)))
        if inner is None or inner.whole is not None:
            raise NotCovered("EXISTS of a subquery that is not correlated")
        if inner.grouping is not None or internals.is_limited(inner.select):
            raise NotCovered("EXISTS of groups, or with LIMIT")
        inside = inner.tree.tables
        own = [each for each in inner.tree.conditions if uses(each).tables & scope_tables(scope) <= inside]
        shared = [each for each in inner.tree.conditions if each not in own]
        other = self.pool(Pool(inner.tree.items, own), inner)
        return self.match(part, other, shared, scope, inner, wanted=wanted)

    def match(
        self, part: Part, other: Part, conditions: list[Condition], scope: Scope, inner: Scope, *, wanted: bool
    ) -> Part:
        keys, rest = Keys([], []), []
        outside = Evaluating(self.finder(part, scope), self._name, self._semantics)
        inside = Evaluating(self.finder(other, inner), self._name, self._semantics)
        for condition in conditions:
            sides = equal_sides(condition, part.layout.tables, other.layout.tables)
            if sides is None:
                rest.append(condition)
                continue
            first, second = outside.value(sides[0]), inside.value(sides[1])
            if not are_comparable(first, second):
                raise NotCovered(f"a comparison of {first.type!r} with {second.type!r}")
            keys.left.append(first)
            keys.right.append(second)
        if not rest:
            ask(other, keys)
        both = Part(part.source, Deferred(part, other), part.missing | other.missing)
        evaluating = Evaluating(self.finder(both, inner, scope), self._name, self._semantics)
        values = [evaluating.value(each) for each in rest]
        source = Match(part.source, other.source, keys, values, wanted)
        return Part(source, part.layout, part.missing)

    def within(self, part: Part, condition: Any, scope: Scope, *, wanted: bool) -> Part:
        inner = self._plan.scopes.get(id(select_in(condition.right)))
        if inner is None:
            raise NotCovered("IN of this subquery")
        if inner.whole is None and set().union(*(uses(c).tables for c in inner.tree.conditions), set()) & (
            scope_tables(scope) - inner.tree.tables
        ):
            raise NotCovered("IN of a correlated subquery")
        if len(inner.columns) != 1:
            raise NotCovered("IN of several columns")
        source = self.select(inner)
        evaluating = Evaluating(self.finder(part, scope), self._name, self._semantics)
        first = evaluating.value(condition.left)
        folds = inner.whole is not None and self._folds(inner.whole, inner.columns[0])
        second = Value(inner.columns[0].type, 0, folds)
        if not are_comparable(first, second) or (inner.whole is None and kind_of(second.type) is str):
            raise NotCovered(f"IN of {first.type!r} and {second.type!r}")
        made = Match(part.source, source, Keys([first], [second]), [], wanted, null_means_none=not wanted)
        return Part(made, part.layout, part.missing)

    # ---- where a value stands

    def finder(self, part: Part, scope: Scope, *scopes: Scope) -> Any:
        def find(clause: Any) -> Value | None:
            if is_column(clause) and clause.table is not None:
                derived = self.of_derived(clause, part)
                if derived is not None:
                    return derived
            for each in (scope, *scopes):
                output = self._locate(clause, each, part.missing)
                if output is None:
                    continue
                if self._partial is not None:
                    output = self._partial.find(output) or output
                fragment = next(f for f, _ in part.layout.items if isinstance(f, Fragment) and output in f.outputs)
                return Placed(part, fragment, output, output.expression.type, self._folds(fragment, clause))
            return None

        def located(clause: Any) -> Value | None:
            try:
                return find(clause)
            except StopIteration:
                raise NotCovered("a column of another part of the statement") from None

        return located

    def of_derived(self, column: Any, part: Part) -> Value | None:
        for item, _ in part.layout.items:
            if isinstance(item, Derived) and hash(column.table) in item.tables:
                return Placed(part, item, item.names.index(column.key), column.type)
        return None


class Deferred(Layout):
    """The layout of two parts side by side; how wide the first is, is known when all outputs are."""

    def __init__(self, first: Part, second: Part) -> None:
        self._first = first
        self._second = second

    @property
    def items(self) -> Any:  # type: ignore[override]
        width = self._first.source.width
        return [*self._first.layout.items, *((item, before + width) for item, before in self._second.layout.items)]


class Placed(Value):
    """A column of a fragment or a derived table, wherever it stands once all outputs are known."""

    def __init__(self, part: Part, item: Any, column: Any, type_: Any, folds: bool = False) -> None:
        super().__init__(type_, folds=folds)
        self.part = part
        self.item = item
        self.column = column

    @property
    def position(self) -> int:
        before = self.part.layout.before(self.item)
        assert before is not None
        number: int = self.item.position(self.column) if isinstance(self.item, Fragment) else self.column
        return before + number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Placed) and other.item is self.item and other.column == self.column

    def __hash__(self) -> int:
        return hash(id(self.item))


def unordered(clause: Any) -> Any:
    """What ORDER BY orders by, without DESC and the like; the name of a label as a string."""
    clause = internals.label_of(clause)
    while isinstance(clause, UnaryExpression) and clause.modifier is not None:
        clause = internals.label_of(clause.element)
    return clause.element if isinstance(clause, Label) else clause


def ask(part: Part, keys: Keys) -> None:
    """All that is wanted of a fragment is which keys it has: so that nothing else comes of it, and each once."""
    (key,) = keys.right if len(keys.right) == 1 else (None,)
    if isinstance(part.source, Fetch) and isinstance(key, Placed):
        fragment = part.source.fragment
        found = [each for each in fragment.reducers if fragment.output(each.inner) is key.column]
        fragment.asked = found[0] if len(found) == 1 and len(fragment.reducers) == 1 else None


def scope_tables(scope: Scope) -> set[int]:
    return scope.tables


def is_not(condition: Any) -> bool:
    return isinstance(condition, UnaryExpression) and condition.operator is operators.inv


def equal_sides(condition: Any, left: set[int], right: set[int]) -> tuple[Any, Any] | None:
    """The two sides of an equation, that of ``left`` first; None if it is none between those."""
    if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
        return None
    first, second = uses(condition.left), uses(condition.right)
    if first.subqueries or second.subqueries or not first.tables or not second.tables:
        return None
    if first.tables <= left and second.tables <= right:
        return condition.left, condition.right
    if first.tables <= right and second.tables <= left:
        return condition.right, condition.left
    return None


def unwrapped(select: Any) -> Any:
    while not isinstance(select, (Select, CompoundSelect)) and hasattr(select, "element"):
        select = select.element
    return select


def select_in(clause: Any) -> Any:
    return next((each for each in visitors.iterate(clause) if isinstance(each, (Select, CompoundSelect))), None)
