"""Partial: groups that begin at home. One database sums its rows by the keys they are joined by, and sends those sums.

The sums of sums, the counts of counts and the extremes of extremes are those of all rows, whatever is joined to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, BinaryExpression, FunctionElement, Integer, Numeric, cast, func
from sqlalchemy.sql import operators, visitors

from manybase.federation.choosing import in_order
from manybase.federation.expressions import AGGREGATES, name_of, uses
from manybase.federation.fragments import Fragment, Output, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.evaluating import Value, kind_of, number_of
from manybase.federation.python.grouping import average_of, exact_sum, largest, smallest, sum_of
from manybase.federation.semantics import Semantics

COMBINED = frozenset({"count", "sum", "avg", "min", "max"})
Locate = Callable[[Any], "Output | None"]


@dataclass(eq=False)
class Partial:
    """``fragment`` is what takes the place of ``whole``: it sends groups. ``parts``: what each aggregate is made of."""

    whole: Fragment
    fragment: Fragment
    keys: dict[Output, Output]  # of the whole fragment, and where the groups have them
    parts: list[tuple[Any, list[Output]]]

    def find(self, output: Output) -> Output | None:
        return self.keys.get(output)

    def parts_of(self, clause: Any) -> list[Output] | None:
        return next((parts for each, parts in self.parts if each is clause), None)


def partial_of(plan: Plan, scope: Scope, locate: Locate, backend: Callable[[str], str]) -> Partial | None:
    """How groups may begin at home; None where they may not."""
    fragments = [item for item in scope.tree.items if isinstance(item, Fragment)]
    if len(fragments) != len(scope.tree.items) or len(fragments) < 2 or scope.rolls_up or len(plan.scopes) > 1:
        return None
    found = aggregates_in(scope)
    if not found or any(argument_of(each) is NotImplemented for each in found):
        return None
    arguments = {id(each): argument_of(each) for each in found}
    located = [locate(each) for each in arguments.values() if each is not None]
    whole = only_fragment(fragments, located)
    if whole is None or whole.whole is not None:
        return None
    keys = keys_of(scope, whole, locate)
    if keys is None or not keys:
        return None
    made = Partial(whole, grouped_at_home(whole, len(plan.fragments)), {}, [])
    kind = backend(whole.database)
    for key in keys:
        walks = kind != "postgresql" and isinstance(
            key.type, Integer
        )  # else it reads the table in the order of an index
        expression = key.expression + 0 if walks else key.expression
        made.keys[key] = added(made.fragment, expression, key.type)
    for each in found:
        parts = parts_of(each, arguments[id(each)], kind)
        if parts is None:
            return None
        made.parts.append((each, [added(made.fragment, part, part.type) for part in parts]))
    made.fragment.grouping = len(made.keys)
    return made


def aggregates_in(scope: Scope) -> list[Any] | None:
    """Those that the SELECT names; None where there is something else that is made of many rows."""
    from manybase.federation import internals

    found: list[Any] = []
    select = scope.select
    for clause in (*scope.columns, *internals.having_of(select), *internals.order_by_of(select)):
        used = uses(clause)
        if used.windows or used.subqueries:
            return None
        for each in visitors.iterate(clause):
            if each.__visit_name__ in ("funcfilter", "withingroup", "over"):
                return None
            if isinstance(each, FunctionElement) and name_of(each) in AGGREGATES:
                if name_of(each) not in COMBINED:
                    return None
                found.append(each)
    return found


def argument_of(function: Any) -> Any:
    """The only argument; None of count(*), NotImplemented of what counts each value once."""
    arguments = list(function.clauses)
    if len(arguments) > 1 or any(getattr(each, "operator", None) is operators.distinct_op for each in arguments):
        return NotImplemented
    only = arguments[0] if arguments else None
    return None if only is None or (is_column(only) and only.is_literal) else only


def only_fragment(fragments: list[Fragment], located: list[Output | None]) -> Fragment | None:
    if None in located:
        return None
    owners = {fragment for fragment in fragments if any(output in fragment.outputs for output in located)}
    if not located:
        return in_order(fragments)[-1]
    return owners.pop() if len(owners) == 1 else None


def keys_of(scope: Scope, whole: Fragment, locate: Locate) -> list[Output] | None:
    """What groups must be told apart by: the keys of the joins, and what the statement groups by."""
    found: list[Output] = []
    for condition in scope.tree.conditions:
        if not uses(condition).tables & whole.tables:
            continue
        if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
            return None
        sides = [locate(condition.left), locate(condition.right)]
        own = [side for side in sides if side is not None and side in whole.outputs]
        if None in sides or len(own) != 1:
            return None
        found += own
    for clause in scope.grouping or ():
        output = locate(clause)
        if output is None:
            return None
        found += [output] if output in whole.outputs else []
    columns = {id(each) for each in found}
    return [each for number, each in enumerate(found) if id(each) in columns and each not in found[:number]]


def grouped_at_home(whole: Fragment, number: int) -> Fragment:
    made = Fragment(number, whole.database, whole.sources, whole.tables, whole.where)
    made.reducers = whole.reducers
    return made


def added(fragment: Fragment, expression: Any, type_: Any) -> Output:
    made = Output(f"c{len(fragment.outputs)}", expression, type_)
    fragment.outputs.append(made)
    return made


def parts_of(function: Any, argument: Any, backend: str) -> list[Any] | None:
    """What is asked of the database for an aggregate; None where its answer would not be exact."""
    name = name_of(function)
    if argument is None:
        return [func.count()]
    if name == "count":
        return [func.count(argument)]
    if name in ("min", "max"):
        return None if kind_of(argument.type) in (None, str) else [getattr(func, name)(argument)]
    number = number_of(argument.type)
    if number is None:
        return None
    total: Any = func.sum(argument)
    if number == "exact" and backend == "sqlite":  # which adds them up as floats
        scale = argument.type.scale
        if scale is None or not isinstance(argument.type, Numeric) or not is_column(argument):
            return None
        total = func.sum(cast(func.round(argument * 10**scale), BigInteger), type_=BigInteger())
    return [total, func.count(argument)] if name == "avg" else [total]


def combine(
    function: Any, values: list[Value], semantics: Semantics, backend: str
) -> tuple[Value, Callable[[Any], Any]]:
    """The aggregate again, from the parts of several groups."""
    name, argument = name_of(function), argument_of(function)
    if name == "count":
        return values[0], lambda found: int(sum(found))
    if name in ("min", "max"):
        return values[0], smallest if name == "min" else largest
    number = str(number_of(argument.type))
    whole = whole_of(number, argument.type, backend)
    if name == "sum":
        finish = sum_of(number, argument.type, semantics)
        return values[0], lambda found: finish([whole(each) for each in found])
    average = average_of(number, semantics)

    def make(given: dict[str, Any]) -> Any:
        first, second = (value.of(given) for value in values)
        return lambda row: None if first(row) is None else (first(row), second(row))

    def divided(found: list[Any]) -> Any:
        if not found:
            return None
        total = exact_sum([whole(each) for each, _ in found]) if number != "float" else sum(each for each, _ in found)
        return average.of_total(total, sum(count for _, count in found))

    return Value(argument.type, make=make), divided


def whole_of(number: str, type_: Any, backend: str) -> Callable[[Any], Any]:
    """A partial sum as a number of the kind that was summed."""
    if number == "integer":
        return int
    if number == "exact" and backend == "sqlite":
        scale = -int(type_.scale)
        return lambda total: Decimal(int(total)).scaleb(scale)
    return lambda total: total
