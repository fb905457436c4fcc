"""Grouping: one row for each group, with what the aggregates make of its rows."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.types import TypeEngine

from manybase.federation.python.evaluating import Evaluate, NotCovered, Row, Value, kind_of, number_of
from manybase.federation.python.quotients import EXACT, scaled, significant
from manybase.federation.reading import Rows
from manybase.federation.semantics import Semantics

Finish = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``finish`` makes one value of the values of a group that are not NULL; None of them: of all its rows."""

    argument: Value | None
    finish: Finish
    distinct: bool = False
    condition: Value | None = None


def aggregate(name: str, argument: Value | None, type_: TypeEngine[Any], semantics: Semantics) -> Finish:
    if name == "count":
        return len
    assert argument is not None
    if name == "first":
        return lambda found: found[0] if found else None
    if name in ("min", "max"):
        if kind_of(argument.type) is None or argument.folds:
            raise NotCovered(f"{name}() of {argument.type!r}")
        return smallest if name == "min" else largest
    number = number_of(argument.type)
    if name == "sum" and number is not None:
        return sum_of(number, argument.type, semantics)
    if name == "avg" and number is not None:
        return average_of(number, semantics)
    raise NotCovered(f"{name}() of {argument.type!r}")


def smallest(found: list[Any]) -> Any:
    return min(found, default=None, key=in_order) if has_nan(found) else min(found, default=None)


def largest(found: list[Any]) -> Any:
    return max(found, default=None, key=in_order) if has_nan(found) else max(found, default=None)


def has_nan(found: list[Any]) -> bool:
    return bool(found) and isinstance(found[0], (float, decimal.Decimal)) and any(each != each for each in found)


def in_order(value: Any) -> tuple[bool, Any]:
    """NaN is the largest number."""
    return (True, 0) if value != value else (False, value)


def sum_of(number: str, type_: TypeEngine[Any], semantics: Semantics) -> Finish:
    if number == "exact":
        return exact_sum
    if number == "float":
        return lambda found: sum(found) if found else None
    as_decimal = semantics.sum_of_integers == "decimal" or (
        semantics.sum_of_integers == "by size" and isinstance(type_, BigInteger)
    )
    if as_decimal:
        return lambda found: decimal.Decimal(sum(found)) if found else None
    return lambda found: sum(found) if found else None


def exact_sum(found: list[Any]) -> Any:
    if not found:
        return None
    total = found[0]
    for value in found[1:]:
        total = EXACT.add(total, value)
    return total


@dataclass(frozen=True, slots=True)
class Average:
    """Of the values of a group, or of their sum and number."""

    divide: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal] | None

    def __call__(self, found: list[Any]) -> Any:
        if not found:
            return None
        return self.of_total(sum(map(float, found)) if self.divide is None else exact_sum(found), len(found))

    def of_total(self, total: Any, count: int) -> Any:
        if self.divide is None:
            return float(total) / count
        return self.divide(decimal.Decimal(total), decimal.Decimal(count))


def average_of(number: str, semantics: Semantics) -> Average:
    if number == "float" or semantics.quotient == "float":
        return Average(None)
    return Average(significant if semantics.quotient == "significant" else scaled)


def grouped(rows: Iterable[Row], keys: list[Evaluate], aggregates: list[Bound]) -> Rows:
    """The key values of each group, then what each aggregate makes of it. Without keys, all rows are one group."""
    groups: dict[Any, list[Row]] = {}
    if keys:
        add = groups.setdefault
        for row in rows:
            add(tuple([get(row) for get in keys]), []).append(row)
    else:
        groups[()] = list(rows)
    return [key + tuple([each.of(members) for each in aggregates]) for key, members in groups.items()]


class Bound:
    """An aggregate, its expressions made for one run."""

    def __init__(self, made: Aggregate, values: dict[str, Any]) -> None:
        self._get = None if made.argument is None else made.argument.of(values)
        self._accept = None if made.condition is None else made.condition.of(values)
        self._distinct = made.distinct
        self._finish = made.finish

    def of(self, rows: Rows) -> Any:
        if self._accept is not None:
            accept = self._accept
            rows = [row for row in rows if accept(row)]
        if self._get is None:
            return self._finish(rows)
        found = [value for value in map(self._get, rows) if value is not None]
        return self._finish(list(dict.fromkeys(found)) if self._distinct else found)
