"""Pooling: FROM and WHERE as steps, joined one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    CompoundSelect,
    Exists,
    Grouping,
    Select,
    Subquery,
    UnaryExpression,
)
from sqlalchemy.sql import operators, visitors

from manybase.federation import internals
from manybase.federation.choosing import in_order
from manybase.federation.expressions import uses
from manybase.federation.fragments import Fragment, Output, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.evaluating import Evaluating, NotCovered, Value, are_comparable, kind_of
from manybase.federation.python.joining import Keys
from manybase.federation.python.layouts import Deferred, Derived, Layout, Part, Placed
from manybase.federation.python.partial import Partial
from manybase.federation.python.program import (
    Fetch,
    Filter,
    Join,
    Match,
    Source,
)
from manybase.federation.semantics import Semantics
from manybase.federation.trees import Condition, Node, Outer, Pool, Rest, fragments_of

Locate = Callable[[Any, Scope, "set[Fragment]"], "Output | None"]


class Pooling:
    """``locate`` tells which column of a fragment an expression is, ``name`` what a parameter is called."""

    _plan: Plan
    _locate: Locate
    _name: Callable[[BindParameter[Any]], str]
    _semantics: Semantics
    _folds: Callable[[Fragment, Any], bool]
    _partial: Partial | None
    _fragments: list[Fragment]

    def statement(self, statement: Any) -> Source:
        raise NotImplementedError

    def select(self, scope: Scope) -> Source:
        raise NotImplementedError

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
        return Part(program, Layout().of(Derived(rest, names), 0), set())

    def join(self, part: Part, other: Part, keys: Keys, conditions: list[Value], *, outer: bool) -> Part:
        source = Join(part.source, other.source, keys, conditions, outer)
        layout = Deferred(part, other)
        return Part(source, layout, part.missing | other.missing)

    def filtered(self, part: Part, conditions: list[Condition], scope: Scope) -> tuple[Part, list[Condition]]:
        """With the conditions applied that the row decides by now."""
        ready, rest = list[Condition](), list[Condition]()
        for each in conditions:
            used = uses(each)
            known = not used.subqueries and used.tables & scope.tables <= part.layout.tables
            (ready if known else rest).append(each)
        if not ready:
            return part, rest
        evaluating = Evaluating(self.finder(part, scope), self._name, self._semantics)
        values = [evaluating.value(each) for each in ready]
        return Part(Filter(part.source, values), part.layout, part.missing), rest

    def keys(
        self, part: Part, other: Part, conditions: list[Condition], scope: Scope, inner: Scope | None = None
    ) -> tuple[Keys, list[Condition]]:
        """What must be equal in a match, and the conditions that say more; ``inner`` is the SELECT of ``other``."""
        keys, rest = Keys([], []), []
        left = Evaluating(self.finder(part, scope), self._name, self._semantics)
        right = Evaluating(self.finder(other, inner or scope), self._name, self._semantics)
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
        own = [each for each in inner.tree.conditions if uses(each).tables & scope.tables <= inside]
        shared = [each for each in inner.tree.conditions if each not in own]
        other = self.pool(Pool(inner.tree.items, own), inner)
        return self.match(part, other, shared, scope, inner, wanted=wanted)

    def match(
        self, part: Part, other: Part, conditions: list[Condition], scope: Scope, inner: Scope, *, wanted: bool
    ) -> Part:
        keys, rest = self.keys(part, other, conditions, scope, inner)
        if not rest:
            ask(other, keys, few_missing=not wanted)
        both = Part(part.source, Deferred(part, other), part.missing | other.missing)
        evaluating = Evaluating(self.finder(both, inner), self._name, self._semantics)
        values = [evaluating.value(each) for each in rest]
        source = Match(part.source, other.source, keys, values, wanted)
        return Part(source, part.layout, part.missing)

    def within(self, part: Part, condition: Any, scope: Scope, *, wanted: bool) -> Part:
        inner = self._plan.scopes.get(id(select_in(condition.right)))
        if inner is None:
            raise NotCovered("IN of this subquery")
        if inner.whole is None and set().union(*(uses(c).tables for c in inner.tree.conditions), set()) & (
            scope.tables - inner.tree.tables
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

    def finder(self, part: Part, scope: Scope) -> Any:
        """``scope``: the SELECT that an expression is in; it knows those around it."""

        def find(clause: Any) -> Value | None:
            if is_column(clause) and clause.table is not None:
                derived = self.of_derived(clause, part)
                if derived is not None:
                    return derived
            output = self._locate(clause, scope, part.missing)
            if output is None:
                return None
            if self._partial is not None:
                output = self._partial.find(output) or output
            fragment = next(f for f, _ in part.layout.items if isinstance(f, Fragment) and output in f.outputs)
            return Placed(part, fragment, output, output.expression.type, self._folds(fragment, clause))

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


def ask(part: Part, keys: Keys, *, few_missing: bool) -> None:
    """All that is wanted of a fragment is which keys it has: so that nothing else comes of it, and each once."""
    (key,) = keys.right if len(keys.right) == 1 else (None,)
    if isinstance(part.source, Fetch) and isinstance(key, Placed):
        fragment = part.source.fragment
        found = [each for each in fragment.reducers if fragment.output(each.inner) is key.column]
        fragment.asked = found[0] if len(found) == 1 and len(fragment.reducers) == 1 else None
        fragment.few_missing = few_missing


def select_in(clause: Any) -> Any:
    return next((each for each in visitors.iterate(clause) if isinstance(each, (Select, CompoundSelect))), None)


def unwrapped(select: Any) -> Any:
    while not isinstance(select, (Select, CompoundSelect)) and hasattr(select, "element"):
        select = select.element
    return select
