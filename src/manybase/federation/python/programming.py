"""Programming: makes the program of a statement from its plan, or says what it would need that Python does not do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FunctionElement,
    FunctionFilter,
    Integer,
    Label,
    Select,
    UnaryExpression,
)
from sqlalchemy.sql import operators

from manybase.federation import internals
from manybase.federation.expressions import AGGREGATES, are_same, counted, name_of, uses
from manybase.federation.fragments import Fragment, Output, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.dense import Dense
from manybase.federation.python.evaluating import Evaluating, NotCovered, Value, kind_of
from manybase.federation.python.grouping import Aggregate, aggregate
from manybase.federation.python.layouts import Layout, Part, Placed
from manybase.federation.python.partial import Partial, combine, partial_of
from manybase.federation.python.pooling import Locate, Pooling, unwrapped
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
    Step,
    Top,
)
from manybase.federation.semantics import Semantics
from manybase.federation.trees import Outer, fragments_of

SETS = {"UNION": True, "UNION ALL": False}  # whether what is twice there counts once
NULLS_FIRST = {operators.nulls_first_op: True, operators.nulls_last_op: False}


class Programming(Pooling):
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
            assert isinstance(source, Step)
            source = source.source
        asked = (each.answers for each in self._fragments)
        if any(each is not None and each.outer is source.fragment for each in asked):
            return None  # its keys are what another one is asked for
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
            if SETS[kind] and any(self._folds(fragment, column) for fragment in self._fragments for column in together):
                raise NotCovered(f"a UNION of {together[0].type!r}")
        together_again = Concatenation(sources)
        return Distinct(together_again) if SETS[kind] else together_again

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
        clauses = [ordering(each)[0] for each in internals.order_by_of(select)]
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
            expression, _ = ordering(clause)
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
        expression, modifiers = ordering(clause)
        if isinstance(expression, str):
            found = [column for column in scope.columns if getattr(column, "name", None) == expression]
            if len(found) != 1:
                raise NotCovered("ORDER BY of a name")
            expression = found[0].element if isinstance(found[0], Label) else found[0]
        value = evaluating.value(expression)
        if kind_of(value.type) is None or value.folds:
            raise NotCovered(f"ORDER BY of {value.type!r}")
        descending = operators.desc_op in modifiers
        nulls = [NULLS_FIRST[each] for each in modifiers if each in NULLS_FIRST]
        return Order(value, descending, nulls[-1] if nulls else self._semantics.nulls_first != descending)

    def group(self, scope: Scope, source: Source, find: Any) -> tuple[Source, Any]:
        evaluating = Evaluating(find, self._name, self._semantics)
        assert scope.grouping is not None
        keys = [evaluating.value(each) for each in scope.grouping]
        for each in keys:
            if kind_of(each.type) is None or each.folds:
                raise NotCovered(f"GROUP BY of {each.type!r}")
        group = Group(source, keys, [])
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
        clause = counted(clause)
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


def ordering(clause: Any) -> tuple[Any, list[Any]]:
    """What ORDER BY orders by, the name of a label as a string; and DESC and the like, outermost first."""
    modifiers = []
    clause = internals.label_of(clause)
    while isinstance(clause, UnaryExpression) and clause.modifier is not None:
        modifiers.append(clause.modifier)
        clause = internals.label_of(clause.element)
    return clause.element if isinstance(clause, Label) else clause, modifiers
