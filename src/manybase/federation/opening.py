"""Opening: the FROM and WHERE of a SELECT as fragments, and what else they need to know of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BooleanClauseList,
    ClauseElement,
    ClauseList,
    FunctionElement,
    Join,
    Label,
    Tuple,
)
from sqlalchemy.sql import operators

from manybase.federation import internals
from manybase.federation.answering import Answering
from manybase.federation.duckdb.executor import is_loose
from manybase.federation.expressions import (
    conjuncts,
    name_of,
    uses,
)
from manybase.federation.fragments import Fragment, Reducer
from manybase.federation.plan import Scope
from manybase.federation.rules import KEEP_FULL, REDUCE_MATCHED, holds
from manybase.federation.trees import Condition, Outer, Planter, Pool, fragments_of, joins_in, nullable, sources

ROLLUPS = frozenset({"rollup", "cube", "grouping_sets"})


class Opening(Answering):
    def _open(self, scope: Scope, froms: Any) -> None:
        scope.tables = {hash(table) for source in froms for table in sources(source)}
        planter = Planter(
            self._home,
            partial(self._fits, own=scope.tables),
            self._fragment,
            partial(self._is_alone, scope),
            self._has_full,
        )
        scope.tree = planter.plant(froms, internals.where_of(scope.select))
        for fragment in fragments_of(scope.tree):
            scope.fragments.update(dict.fromkeys(fragment.tables, fragment))
        scope.nullable = nullable(scope.tree)
        self._group(scope)
        self._scopes.append(scope)
        self._link(scope.tree)
        self._scopes.pop()

    def _is_alone(self, scope: Scope, tables: set[int], condition: Condition) -> bool:
        """Whether a SELECT uses tables in no other place than FROM and that condition."""
        select = scope.select
        others = [
            *scope.columns,
            *internals.group_by_of(select),
            *internals.having_of(select),
            *internals.order_by_of(select),
            *(each for where in internals.where_of(select) for each in conjuncts(where) if each is not condition),
        ]
        joins = [source for source in select.get_final_froms() if isinstance(source, Join)]
        ons = [source.onclause for join in joins for source in joins_in(join) if source.onclause is not None]
        used = sum(bool(uses(each).tables & tables) for each in ons)
        return used <= 1 and not any(uses(each).tables & tables for each in others if isinstance(each, ClauseElement))

    def _group(self, scope: Scope) -> None:
        clauses = [internals.label_of(each) for each in internals.group_by_of(scope.select)]
        found: list[Any] = []
        while clauses:
            each = clauses.pop(0)
            by_name = isinstance(each, str)
            if isinstance(each, str):
                each = next((c for c in scope.columns if getattr(c, "name", None) == each), each)
            if isinstance(each, Label):
                each = each.element
            if isinstance(each, FunctionElement) and name_of(each) in ROLLUPS:
                scope.rolls_up = True
                clauses += each.clauses
            elif isinstance(each, (Tuple, ClauseList)) and not isinstance(each, BooleanClauseList):
                clauses += each.clauses
            else:
                found.append(each)
                scope.named += [each] if by_name else []
        aggregates = any(isinstance(c, ClauseElement) and uses(c).aggregates for c in scope.columns)
        aggregates = aggregates or bool(internals.having_of(scope.select))
        scope.grouping = found if found or aggregates else None

    def _fragment(self, database: str) -> Fragment:
        made = Fragment(len(self.plan.fragments), database)
        self.plan.fragments.append(made)
        return made

    def _link(self, pool: Pool) -> None:
        """Note whose keys reduce whom."""
        matched = fragments_of(pool) - (nullable(pool) if holds(REDUCE_MATCHED) else set())
        for condition in pool.conditions:
            self._note_keys(condition, matched)
        for item in pool.items:
            if isinstance(item, Outer):
                self._link(item.left)
                self._link(item.right)
                matched = fragments_of(item.right) - nullable(item.right)
                if item.kind == "full" and holds(KEEP_FULL):
                    matched = set()
                if not holds(REDUCE_MATCHED):
                    matched = fragments_of(item)
                for condition in item.conditions:
                    self._note_keys(condition, matched)

    def _note_keys(self, condition: Any, matched: set[Fragment]) -> None:
        if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
            return
        for inner, outer in ((condition.left, condition.right), (condition.right, condition.left)):
            reduced, known = self._fragment_of(inner), self._fragment_of(outer)
            if reduced is None or known is None or reduced is known or reduced not in matched:
                continue
            loose = is_loose(outer, known.database, self.dialect) and not is_loose(
                inner, reduced.database, self.dialect
            )
            if not loose:  # else its spellings are not all that match
                reduced.reducers.append(Reducer(known, known.output(outer), inner))
