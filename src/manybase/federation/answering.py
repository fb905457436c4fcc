"""Answering: which part of a statement a database could answer alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    Alias,
    BooleanClauseList,
    ColumnElement,
    FromClause,
    Lateral,
    SelectBase,
    Subquery,
    Table,
    TableSample,
    Tuple,
    UnaryExpression,
)
from sqlalchemy.sql import operators, visitors

from manybase.federation import internals
from manybase.federation.expressions import (
    LACKING,
    is_known_to,
    uses,
)
from manybase.federation.fragments import Fragment, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.evaluating import number_of
from manybase.federation.rules import KEEP_CORRELATED, holds
from manybase.federation.trees import Condition, sources
from manybase.routing import Across


class Answering:
    """What the planning compiler knows of the SELECTs that it is in; its dialect knows the ``home_of`` a table."""

    dialect: Any
    compile_state: Any
    plan: Plan
    _scopes: list[Scope]  # that are being rendered, outermost first
    _open_ctes: list[Any]

    def _outside(self) -> set[int]:
        return {table for scope in self._scopes for table in scope.tables}

    def _whole(self, select: Any, compile_state: Any, froms: Any) -> str | None:
        """The database that can answer a nested SELECT as it stands."""
        if not froms or internals.has_oddities(select):
            return None
        own = {hash(table) for source in froms for table in sources(source)}
        used = uses(select)
        if used.opaque or (used.tables & self._outside() - own and holds(KEEP_CORRELATED)):
            return None
        homes = {self._home(table) for source in froms for table in sources(source)}
        database = homes.pop() if len(homes) == 1 else None
        return database if database is not None and self._answers(database, select) else None

    def _home(self, source: FromClause) -> str | None:
        """The database that could answer a FROM element alone."""
        element: Any = source
        if isinstance(source, Lateral):
            return None
        while isinstance(element, (Alias, TableSample)) and not isinstance(element, (Subquery, CTE)):
            element = element.element
        if isinstance(element, Table):
            name: str = self.dialect.home_of(element)
            return name
        if not isinstance(element, (Subquery, CTE)) or self._is_open(element):
            return None
        inner: Any = element.element
        if not isinstance(inner, SelectBase) or uses(inner).opaque or uses(inner).tables & self._outside():
            return None
        owners = self._owners(inner)
        return next(iter(owners)) if owners is not None and len(owners) == 1 else None

    def _is_open(self, source: FromClause) -> bool:
        """Whether it is, or contains, a CTE that is being rendered: it refers to itself."""
        opened = {hash(each) for each in self._open_ctes} | {each.name for each in self._open_ctes}
        return any(
            isinstance(each, CTE) and (hash(each) in opened or each.name in opened) for each in visitors.iterate(source)
        )

    def _owners(self, select: Any) -> frozenset[str] | None:
        """The databases that own every table of a subquery, and know what it says; None where there is none."""
        if internals.has_criteria(self.compile_state) and any(
            isinstance(each, SelectBase) and internals.is_orm(each) for each in visitors.iterate(select)
        ):
            return None
        if internals.is_for_update(select):
            return None
        owners: Any = self.dialect.router.candidates(select)
        if isinstance(owners, Across):
            return None
        return frozenset(each for each in owners if is_known_to(self.dialect.backends[each], select)) or None

    def _answers(self, database: str, select: Any) -> bool:
        owners = self._owners(select)
        return owners is not None and database in owners

    def _has_full(self, database: str) -> bool:
        """Whether a database knows FULL JOIN."""
        return self.dialect.backends[database] not in LACKING

    def _fits(self, condition: Condition, database: str, own: set[int]) -> bool:
        """Whether a database can decide a condition on ``own`` tables of a SELECT."""
        used = uses(condition)
        if used.opaque or used.aggregates or used.windows or used.tables & (self._outside() - own):
            return False
        if not is_known_to(self.dialect.backends[database], condition):
            return False
        return all(self._answers(database, each) for each in used.subqueries)

    def _scope_of(self, table: int) -> Scope | None:
        return next((scope for scope in reversed(self._scopes) if table in scope.fragments), None)

    def _fragment_of(self, expression: Any) -> Fragment | None:
        """The fragment that can compute an expression from its columns."""
        if is_column(expression):
            scope = None if expression.table is None else self._scope_of(hash(expression.table))
            return None if scope is None else scope.fragments[hash(expression.table)]
        used = uses(expression)
        known = {table: scope.fragments[table] for table in used.tables if (scope := self._scope_of(table)) is not None}
        if not used.direct <= known.keys():
            return None
        found = set(known.values())  # of subqueries, whose own tables are nobody's here, what they refer to
        fragment = found.pop() if len(found) == 1 else None
        if fragment is None or used.volatile or isinstance(expression, (SelectBase, Tuple)) or is_ordering(expression):
            return None
        if used.subqueries and used.tables & (self._outside() - fragment.tables):
            return None
        if used.opaque or used.aggregates or used.windows:
            return None
        backend = self.dialect.backends[fragment.database]
        if not is_known_to(backend, expression) or (backend == "sqlite" and number_of(expression.type) == "exact"):
            return None  # SQLite computes in floats, and what it gives is rounded to the digits of a column
        return fragment if all(self._answers(fragment.database, each) for each in used.subqueries) else None


def is_value(element: Any) -> bool:
    """Not the arguments of a function, nor the two bounds of BETWEEN."""
    if not isinstance(element, ColumnElement):
        return False
    return isinstance(element, BooleanClauseList) or getattr(element, "operator", None) is not operators.and_


def is_ordering(expression: Any) -> bool:
    """DESC, NULLS LAST, DISTINCT: they say something about an expression, and have no value."""
    return isinstance(expression, UnaryExpression) and (
        expression.modifier is not None or expression.operator is operators.distinct_op
    )
