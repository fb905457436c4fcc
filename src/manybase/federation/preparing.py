"""Preparing: the SELECT that brings a fragment, made once, with the keys that are sent along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import (
    BindParameter,
    CursorResult,
    Dialect,
    Integer,
    Select,
    SelectBase,
    Subquery,
    and_,
    bindparam,
    literal,
    literal_column,
    select,
)
from sqlalchemy.sql import visitors

from manybase.federation import internals
from manybase.federation.fragments import Fragment
from manybase.federation.keys import Sending, Way, has_json_table, sending
from manybase.federation.plan import Plan
from manybase.federation.reading import Processors, processors_of

FIRST = "first_rows"
GIVEN = "given_"  # what the names of parameters begin with that the statement brings
Sent: TypeAlias = tuple[Sending, Way]


@dataclass(frozen=True, slots=True)
class Prepared:
    """``names`` of the parameters it takes, ``types`` of its columns."""

    statement: Any
    names: list[str]
    types: list[Any]
    tells_missing: bool = False
    _processors: dict[Dialect, Processors] = field(default_factory=dict, compare=False)

    def processors(self, result: CursorResult[Any]) -> Processors:
        """Kept, as SQLAlchemy keeps those of a statement that it has compiled."""
        dialect = result.dialect
        if dialect not in self._processors:
            self._processors[dialect] = processors_of(result, self.types)
        return self._processors[dialect]


def sending_to(plan: Plan, fragment: Fragment, number: int, dialect: Dialect) -> Sending | None:
    """How the keys of its reducer of that number get to a fragment; made once, as statements are made of it."""
    key = (fragment, number, dialect, has_json_table(dialect))  # a dialect learns its version when it connects
    if key not in plan.sendings:
        plan.sendings[key] = sending(dialect, fragment.reducers[number].inner, f"keys_{number}")
    sent: Sending | None = plan.sendings[key]
    return sent


def prepare(
    plan: Plan, fragment: Fragment, sent: tuple[Sent, ...], *, first: bool = False, gathers: bool = False
) -> Prepared:
    tells_missing = False
    types = [output.type for output in fragment.outputs] or [Integer()]
    answering = [each.table for each, _ in sent if fragment.answers is not None and each.table is not None]
    conditions = [each.says(way) for each, way in sent]
    if fragment.whole is not None:
        statement: Any = fragment.whole
    elif answering and len(sent) == 1:
        (table,), ((keys, _),) = answering, sent
        tells_missing = fragment.few_missing and keys.returns
        statement = asking(fragment, keys, table, missing=tells_missing)
    elif fragment.answers is not None:
        column = fragment.outputs[0].expression.label("c0")
        statement = select(column).select_from(*fragment.sources).where(*fragment.where, *conditions).distinct()
    else:
        columns = [each.expression.label(each.name) for each in fragment.outputs] or [literal(1).label("c0")]
        statement = select(*columns).select_from(*fragment.sources).where(*fragment.where, *conditions)
        if fragment.grouping:
            statement = statement.group_by(*(each.expression for each in fragment.outputs[: fragment.grouping]))
        if first:
            statement = limited(statement.order_by(*fragment.first or ()))
        elif gathers:  # not by an index: in its order a table would be read here and there
            statement = statement.order_by(fragment.reducers[0].inner + literal_column("0"))
    return prepared_as(plan, statement, types, tells_missing=tells_missing)


def asking(fragment: Fragment, keys: Sending, table: Any, *, missing: bool) -> Select[Any]:
    """Which of the keys in ``table`` have a match; or, if that is what is asked for, for which it is ``missing``."""
    asked: Select[Any] = select(table.c.value.label("c0"))
    equal = keys.inner == table.c.value
    if missing and keys.joins and fragment.never_null is not None:
        joined = table.outerjoin(fragment.sources[0], and_(equal, *fragment.where))
        return asked.select_from(joined).where(fragment.never_null.is_(None))
    matches = select(literal(1)).select_from(*fragment.sources).where(*fragment.where, equal)
    if keys.probes:  # else servers make a join of it, and read all of the table
        matches = matches.limit(literal_column("1")).offset(literal_column("0"))
    found = matches.correlate(table).exists()
    return asked.where(~found if missing else found)


def limited(statement: Any) -> Any:
    """Only as many rows as the parameter ``FIRST`` says."""
    return statement.limit(bindparam(FIRST, type_=Integer()))


def prepared_as(plan: Plan, statement: Any, types: list[Any], *, tells_missing: bool = False) -> Prepared:
    statement = internals.as_core(renamed(statement, plan))
    return Prepared(statement, needed(statement), types, tells_missing)


def renamed(statement: SelectBase, plan: Plan) -> Any:
    """With parameters that each execution gives by name, instead of those that hold the values of the first one."""

    sources: dict[int, Any] = {}  # a subquery may be there as several objects that are equal: they stay the same one

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, Subquery):
            key = hash(element)
            if key not in sources:
                sources[key] = None  # it is the first: what follows is a copy of it
                sources[key] = visitors.replacement_traverse(internals.bare(element), {}, replace)
            return sources[key]
        name = plan.names.get(element) if isinstance(element, BindParameter) else None
        return None if name is None else internals.named_bind(element, GIVEN + name)

    if not any(isinstance(each, BindParameter) and each in plan.names for each in visitors.iterate(statement)):
        return statement
    return visitors.replacement_traverse(statement, {}, replace)


def needed(statement: Any) -> list[str]:
    found = [str(each.key) for each in visitors.iterate(statement) if isinstance(each, BindParameter)]
    return [key.removeprefix(GIVEN) for key in dict.fromkeys(found) if key.startswith(GIVEN)]
