"""Rendering: what is left of a statement, with fragments in the place of what databases compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Table,
)
from sqlalchemy.sql import operators

from manybase.errors import UnsupportedStatement
from manybase.federation.answering import is_value
from manybase.federation.expressions import (
    AGGREGATES,
    are_same,
    counted,
    is_null_for_null,
    name_of,
    uses,
    windowed,
)
from manybase.federation.fragments import Fragment
from manybase.federation.opening import Opening
from manybase.federation.plan import Scope
from manybase.federation.rules import KEEP_STRICT, holds
from manybase.federation.trees import Condition, Node, Outer, Pool, Rest, nullable

# What may be computed by the database that holds all its columns, beside what has a method of its own below.
COMPUTED = (
    "aggregate_order_by",
    "array",
    "binary",
    "case",
    "cast",
    "clauselist",
    "expression_clauselist",
    "extract",
    "slice",
    "tuple",
    "type_coerce",
)


class Rendering(Opening):
    """The ``visit_`` methods of SQLAlchemy's compiler, asked before it renders anything."""

    _in_aggregate: int
    _in_exists: bool
    _windowed: set[int]  # functions that a window is of
    _refused: UnsupportedStatement | None

    def group_by_clause(self, select: Any, **options: Any) -> Any:
        """The groupings are computed for each row."""
        if not self._scopes or self._scopes[-1].whole is not None:
            return super().group_by_clause(select, **options)  # type: ignore[misc]
        with self._inside(self._scopes[-1].nullable):
            return super().group_by_clause(select, **options)  # type: ignore[misc]

    def _text_of(self, node: Node, **options: Any) -> str:
        if isinstance(node, Fragment):
            return node.name
        if isinstance(node, Rest):
            return self.process(node.source, asfrom=True, **options)  # type: ignore[attr-defined, no-any-return]
        assert isinstance(node, Outer)
        kind = node.kind.upper()
        left, right = self._text_of_side(node.left, **options), self._text_of_side(node.right, **options)
        with self._inside(nullable(node.left) | nullable(node.right)):
            on = self._all_of(node.conditions, **options)
        return f"({left} {kind} JOIN {right} ON {on})"

    def _text_of_side(self, pool: Pool, **options: Any) -> str:
        items = [self._text_of(each, **options) for each in pool.items]
        if not pool.conditions and len(items) == 1:
            return items[0]
        with self._inside(nullable(pool)):
            conditions = self._all_of(pool.conditions, **options)
        *first, last = items if len(items) > 1 else [*items, "(SELECT 1) AS _one"]
        return f"({' CROSS JOIN '.join(first)} JOIN {last} ON {conditions})"

    def _all_of(self, conditions: list[Condition], **options: Any) -> str:
        if not conditions:
            return "true"
        return " AND ".join(f"({self.process(each, **options)})" for each in conditions)  # type: ignore[attr-defined]

    @contextmanager
    def _inside(self, missing: set[Fragment]) -> Iterator[None]:
        """What is rendered meanwhile is computed where only these fragments may be missing."""
        scope = self._scopes[-1]
        scope.nullable, outside = missing, scope.nullable
        grouping, scope.grouping = scope.grouping, None
        try:
            yield
        finally:
            scope.nullable, scope.grouping = outside, grouping

    def visit_column(self, column: Any, add_to_result_map: Any = None, **options: Any) -> Any:
        text = self._column_text(column)
        if text is None:
            if column.table is not None and isinstance(column.table, Table):
                raise misplaced(column.table)
            return super().visit_column(column, add_to_result_map=add_to_result_map, **options)  # type: ignore[misc]
        rendered = super().visit_column(  # type: ignore[misc]  # for the result map
            column, add_to_result_map=add_to_result_map, include_table=False, **_known(options)
        )
        if options.get("within_columns_clause") and not options.get("within_label_clause"):
            return f"{text} AS {rendered}"
        return text

    def _column_text(self, column: Any) -> str | None:
        scope = self._scopes[-1] if self._scopes else None
        if scope is not None and scope.whole is not None:
            return self._of_whole(scope, column)
        if column.table is None:
            if column.is_literal and uses(column).opaque:
                raise opaque("literal_column()")
            return None
        found = self._scope_of(hash(column.table))
        if found is None:
            return None
        fragment = found.fragments[hash(column.table)]
        return self._placed(found, fragment, column)

    def _computed_at_home(self, element: Any) -> str | None:
        scope = self._scopes[-1] if self._scopes else None
        if scope is None:
            return None
        if scope.whole is not None:
            return self._of_whole(scope, element)
        fragment = self._fragment_of(element)
        if fragment is None:
            return None
        owner = next(each for each in reversed(self._scopes) if fragment in each.fragments.values())
        if fragment in owner.nullable and holds(KEEP_STRICT) and not is_null_for_null(element, fragment.tables):
            return None
        outside = owner.grouping is not None and not self._in_aggregate
        if outside and owner.rolls_up and not self._is_grouped(owner, element):
            return None
        return self._placed(owner, fragment, element)

    def _placed(self, scope: Scope, fragment: Fragment, expression: Any) -> str:
        """A column of a fragment; in a SELECT that groups, outside of aggregates, that of any row of the group."""
        if self._scopes[-1].selects_nothing:
            return "NULL"
        output = fragment.output(expression)
        output.uses += 1
        text = f"{fragment.name}.{output.name}"
        in_aggregate = self._in_aggregate if scope is self._scopes[-1] else scope.in_aggregate
        grouped = scope.grouping is not None and not in_aggregate and not self._is_grouped(scope, expression)
        return f"FIRST({text})" if grouped else text

    @contextmanager
    def _as_group(self, element: Any) -> Iterator[None]:
        """What the SELECT groups by is computed for each row."""
        scope = self._scopes[-1] if self._scopes else None
        grouped = scope is not None and bool(scope.grouping) and self._is_grouped(scope, element)
        if grouped and scope is not None and uses(element).subqueries and not among(element, scope.named):
            if scope.rolls_up:
                raise several_groupings()
            grouped = False  # its text differs from that in GROUP BY; it is the same for any row of a group
        self._in_aggregate += grouped
        try:
            yield
        finally:
            self._in_aggregate -= grouped

    def _is_grouped(self, scope: Scope, expression: Any) -> bool:
        return among(expression, scope.grouping or ())

    def _of_whole(self, scope: Scope, element: Any) -> str | None:
        assert scope.whole is not None
        for column, output in zip(scope.columns, scope.whole.outputs, strict=True):
            if element is column or element is getattr(column, "element", None):
                output.uses += 1
                return f"{scope.whole.name}.{output.name}"
        return None

    def visit_table(self, table: Any, asfrom: bool = False, **options: Any) -> Any:
        if asfrom:
            raise misplaced(table)
        return ""

    def visit_textclause(self, textclause: Any, **options: Any) -> Any:
        if self._scopes and uses(textclause).opaque:
            raise opaque("text()")
        return super().visit_textclause(textclause, **options)  # type: ignore[misc]

    def visit_grouping(self, grouping: Any, *arguments: Any, **options: Any) -> Any:
        if self._scopes and self._scopes[-1].whole is not None:
            text = self._of_whole(self._scopes[-1], grouping)
            if text is not None:
                return text
        return super().visit_grouping(grouping, *arguments, **options)  # type: ignore[misc]

    def visit_over(self, over: Any, *arguments: Any, **options: Any) -> Any:
        self._windowed.add(id(windowed(over)))
        return self._computed("over", over, *arguments, **options)

    def visit_unary(self, unary: Any, *arguments: Any, **options: Any) -> Any:
        self._in_exists = unary.operator is operators.exists
        try:
            return self._computed("unary", unary, *arguments, **options)
        finally:
            self._in_exists = False

    def visit_funcfilter(self, funcfilter: Any, *arguments: Any, **options: Any) -> Any:
        with self._aggregating():
            return self._computed("funcfilter", funcfilter, *arguments, **options)

    def visit_withingroup(self, withingroup: Any, *arguments: Any, **options: Any) -> Any:
        with self._aggregating():
            return self._computed("withingroup", withingroup, *arguments, **options)

    def visit_function(self, func: Any, *arguments: Any, **options: Any) -> Any:
        """What the executor lacks is refused, but not in a statement without tables, which nobody executes."""
        try:
            return self._function(func, *arguments, **options)
        except UnsupportedStatement as error:
            if self.plan.fragments or any(scope.tables for scope in self._scopes):
                raise
            self._refused = self._refused or error
            return "NULL"

    def _function(self, func: Any, *arguments: Any, **options: Any) -> Any:
        if id(func) in self._windowed:
            return rendered(self, "function", func, *arguments, **options)
        whole = self._scopes and self._scopes[-1].whole is not None
        if whole or name_of(func) not in AGGREGATES:
            return self._computed("function", func, *arguments, **options)
        with self._aggregating():
            return rendered(self, "function", counted(func), *arguments, **options)

    @contextmanager
    def _aggregating(self) -> Iterator[None]:
        """All in an aggregate, and in what belongs to it, is computed for each row."""
        self._in_aggregate += 1
        try:
            yield
        finally:
            self._in_aggregate -= 1

    def _computed(self, name: str, element: Any, *arguments: Any, **options: Any) -> Any:
        """A column of a fragment, where its database computes the expression; else the expression."""
        text = self._computed_at_home(element) if is_value(element) else None
        if text is None:
            with self._as_group(element):
                return rendered(self, name, element, *arguments, **options)
        add_to_result_map = options.get("add_to_result_map")
        if add_to_result_map is not None:  # where it has no label of its own
            known = getattr(element, "name", None) or getattr(getattr(element, "element", None), "name", name)
            add_to_result_map(known, known, (element, known, *options.get("result_map_targets", ())), element.type)
        return text


def rendered(compiler: Any, kind: str, element: Any, *arguments: Any, **options: Any) -> Any:
    """As the compiler renders it that the planning one is mixed into."""
    return getattr(super(Rendering, compiler), f"visit_{kind}")(element, *arguments, **options)


def computing(name: str) -> Any:
    """A ``visit_`` method that asks whether a database computes the expression before it is rendered."""

    def visit(self: Rendering, element: Any, *arguments: Any, **options: Any) -> Any:
        return self._computed(name, element, *arguments, **options)

    return visit


for each in COMPUTED:
    setattr(Rendering, f"visit_{each}", computing(each))


def among(expression: Any, others: Iterable[Any]) -> bool:
    return any(isinstance(each, ClauseElement) and are_same(each, expression) for each in others)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "include_table"}


def misplaced(table: Table) -> UnsupportedStatement:
    return UnsupportedStatement(
        f"Table {table.fullname!r} in this place",
        "it cannot be fetched from there",
        "Join it, or put it into a subquery.",
    )


def several_groupings() -> UnsupportedStatement:
    return UnsupportedStatement(
        "A subquery in ROLLUP, CUBE or GROUPING SETS",
        "it is of several databases, and has no value where the groups are of something else",
        "Compute it in a derived table, and group by its column.",
    )


def opaque(part: str) -> UnsupportedStatement:
    return UnsupportedStatement(
        part,
        "nobody can tell which tables it names",
        "Write it with SQLAlchemy's expressions, or put it into a statement of its own for one database.",
    )
