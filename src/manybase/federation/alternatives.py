"""Alternatives: what an OR says whichever of its sides is true, so that databases can decide a part of it. Pure."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BooleanClauseList, ColumnElement, Grouping, and_, or_
from sqlalchemy.sql import operators

from manybase.federation.expressions import are_same, conjuncts, uses


def alternatives(condition: Any) -> list[list[ColumnElement[Any]]]:
    """The sides of an OR, each as what is ANDed in it; none where it is no OR."""
    while isinstance(condition, Grouping):
        condition = condition.element
    if not isinstance(condition, BooleanClauseList) or condition.operator is not operators.or_:
        return []
    return [list(conjuncts(each)) for each in condition.clauses]


def factored(condition: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """(a AND b) OR (a AND c) as a, and b OR c."""
    sides = alternatives(condition)
    first, *others = sides or [[]]
    common = [each for each in first if all(has(side, each) for side in others) and not uses(each).volatile]
    if not common:
        return [condition]
    left = [[each for each in side if not has(common, each)] for side in sides]
    return [*common, or_(*(and_(*side) for side in left))] if all(left) else common


def implied(condition: ColumnElement[Any], table: int) -> ColumnElement[Any] | None:
    """What an OR says of one table alone; None where a side of it says nothing of that."""
    sides = [[each for each in side if is_of(each, table)] for side in alternatives(condition)]
    return or_(*(and_(*side) for side in sides)) if sides and all(sides) else None


def has(conditions: list[ColumnElement[Any]], wanted: ColumnElement[Any]) -> bool:
    return any(are_same(each, wanted) for each in conditions)


def is_of(condition: ColumnElement[Any], table: int) -> bool:
    used = uses(condition)
    return used.tables == {table} and not (used.subqueries or used.volatile or used.opaque)
