"""Expressions: what a part of a statement refers to, and what it is when its columns are NULL. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON as JSON_TYPE
from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Case,
    Cast,
    ClauseElement,
    CollectionAggregate,
    ColumnClause,
    ColumnElement,
    Exists,
    Extract,
    FunctionElement,
    FunctionFilter,
    Grouping,
    Integer,
    Interval,
    Join,
    Label,
    Over,
    SelectBase,
    TextClause,
    TypeCoerce,
    TypeDecorator,
    UnaryExpression,
    WithinGroup,
    case,
    func,
    literal_column,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.types import TypeEngine

# Functions that make one value of many rows. What is not here is taken to be a function of one row.
AGGREGATES = frozenset(
    """
    aggregate_strings any_value approx_count_distinct array_agg avg bit_and bit_or bit_xor bool_and bool_or
    corr count count_if covar_pop covar_samp every first group_concat grouping json_agg json_arrayagg
    json_group_array json_group_object json_object_agg json_objectagg jsonb_agg jsonb_object_agg last list
    listagg max median min mode percentile_cont percentile_disc product range_agg regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy std stddev stddev_pop
    stddev_samp string_agg sum total var_pop var_samp variance xmlagg
    """.split()  # noqa: SIM905
)
VOLATILE = frozenset("gen_random_uuid nextval rand random setval sleep pg_sleep uuid uuid_generate_v4".split())  # noqa: SIM905
# Functions that give NULL when one of their arguments is NULL.
STRICT = frozenset(
    """
    abs ascii ceil ceiling char_length character_length cos date date_format date_part date_trunc day
    dayofmonth exp extract floor hour initcap instr json_extract json_unquote julianday left length ln
    log lower lpad ltrim md5 minute mod month position pow power regexp_replace replace reverse right round
    rpad rtrim second sign sin split_part sqrt strpos substr substring tan to_char trim trunc truncate
    unixepoch upper weekday year
    """.split()  # noqa: SIM905
)
# Functions that a kind of server does not have, and DuckDB has: they are left to it.
LACKING = {
    "sqlite": frozenset(
        "age date_part date_trunc left lpad md5 regexp_replace reverse right rpad split_part to_char".split()  # noqa: SIM905
    ),
    "mysql": frozenset("age date_part date_trunc split_part string_agg".split()),  # noqa: SIM905
}
LACKING["mariadb"] = LACKING["mysql"]
WITHOUT_FULL = ("mysql", "mariadb")  # without FULL JOIN
COMPARISONS = frozenset({operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge})
ARITHMETIC = frozenset(
    {operators.add, operators.sub, operators.mul, operators.truediv, operators.floordiv, operators.mod}
)
LIKES = frozenset(
    {
        operators.like_op,
        operators.not_like_op,
        operators.ilike_op,
        operators.not_ilike_op,
        operators.regexp_match_op,
        operators.not_regexp_match_op,
    }
)
JSON = frozenset({operators.json_getitem_op, operators.json_path_getitem_op, operators.getitem})
ANY_NULL = COMPARISONS | ARITHMETIC | LIKES | {operators.concat_op}
NUMBER = re.compile(r"-?\d+(\.\d+)?|\*|'[^']*'|NULL", re.IGNORECASE)  # what a literal_column() may say


@dataclass(slots=True)
class Uses:
    """What an expression refers to. ``tables``: hashes of the FROM elements of all its columns, at any depth."""

    tables: set[int] = field(default_factory=set)
    direct: set[int] = field(default_factory=set)  # those of columns that are in no subquery
    subqueries: list[SelectBase] = field(default_factory=list)
    opaque: bool = False  # text, which nobody can read
    aggregates: bool = False  # of its own, not of a subquery
    windows: bool = False
    volatile: bool = False
    functions: bool = False


def uses(clause: ClauseElement) -> Uses:
    found = Uses()
    collect(clause, found, inside=False)
    return found


def collect(clause: ClauseElement, found: Uses, *, inside: bool) -> None:
    """``inside`` a subquery, an aggregate is the subquery's."""
    if isinstance(clause, SelectBase):
        if not inside:
            found.subqueries.append(clause)
        inside = True
    elif isinstance(clause, ColumnClause):
        if clause.table is not None:
            found.tables.add(hash(clause.table))
            if not inside:
                found.direct.add(hash(clause.table))
        elif clause.is_literal:
            found.opaque |= not NUMBER.fullmatch(clause.name)
        return
    elif isinstance(clause, TextClause):
        found.opaque |= not NUMBER.fullmatch(clause.text.strip())
    elif isinstance(clause, FunctionElement):
        name = name_of(clause)
        found.functions = True
        found.aggregates |= not inside and name in AGGREGATES
        found.volatile |= name in VOLATILE
    elif isinstance(clause, Over):
        found.windows |= not inside
        function = windowed(clause)
        for child in (
            *function.get_children(),
            *(each for each in clause.get_children() if each is not clause.element),
        ):
            collect(child, found, inside=inside)
        return
    elif isinstance(clause, (WithinGroup, FunctionFilter)):
        found.aggregates |= not inside
    for child in clause.get_children():
        collect(child, found, inside=inside)


def windowed(over: Over[Any]) -> Any:
    """The function that a window is of: no aggregate, whatever its name."""
    function: Any = over.element
    while isinstance(function, (FunctionFilter, WithinGroup)):
        function = function.func if isinstance(function, FunctionFilter) else function.element
    return function


def is_known_to(backend: str, clause: ClauseElement) -> bool:
    """Whether such a server can compute it: not what only PostgreSQL has."""
    if backend not in LACKING:
        return True
    for each in visitors.iterate(clause):
        if isinstance(each, FunctionElement) and name_of(each) in LACKING[backend]:
            return False
        if isinstance(each, Join) and each.full and backend in WITHOUT_FULL:
            return False
        if isinstance(each, BinaryExpression) and each.operator in (operators.add, operators.sub):
            sides = (each.left.type, each.right.type)
            if any(isinstance(side, Interval) for side in sides):
                return False
    return True


def name_of(function: FunctionElement[Any]) -> str:
    return str(getattr(function, "name", "")).lower()


def conjuncts(clause: ClauseElement | None) -> Iterator[ColumnElement[Any]]:
    """The parts of a condition that are ANDed together."""
    if clause is None:
        return
    inner: Any = clause
    while isinstance(inner, Grouping):
        inner = inner.element
    if isinstance(inner, BooleanClauseList) and inner.operator is operators.and_:
        for each in inner.clauses:
            yield from conjuncts(each)
    else:
        yield clause  # type: ignore[misc]  # a condition is a column element


def counted(function: Any) -> Any:
    """count() of values of which some are None that are not NULL, or NULL and something: of whether they are NULL."""
    arguments = list(function.clauses)
    only = arguments[0] if len(arguments) == 1 else None
    if name_of(function) != "count" or not isinstance(getattr(only, "type", None), (JSON_TYPE, TypeDecorator)):
        return function
    assert only is not None
    return func.count(case((only.is_not(None), literal_column("1", Integer()))))


def binds(clause: ClauseElement) -> list[BindParameter[Any]]:
    return [each for each in visitors.iterate(clause) if isinstance(each, BindParameter)]


def is_null_for_null(clause: ClauseElement, tables: Iterable[int]) -> bool:
    """Whether it is NULL wherever all columns of ``tables`` are: proven, not guessed."""
    tables = tables if isinstance(tables, (set, frozenset)) else set(tables)
    return null_for_null(clause, tables)


def null_for_null(clause: Any, tables: set[int] | frozenset[int]) -> bool:
    if isinstance(clause, ColumnClause):
        return clause.table is not None and hash(clause.table) in tables
    if isinstance(clause, (Grouping, Label, TypeCoerce)):
        return null_for_null(clause.element if not isinstance(clause, TypeCoerce) else clause.clause, tables)
    if isinstance(clause, Cast):
        return null_for_null(clause.clause, tables)
    if isinstance(clause, Extract):
        return null_for_null(clause.expr, tables)
    if isinstance(clause, BinaryExpression):
        if isinstance(clause.right, CollectionAggregate):  # x = ANY (no rows) is false, whatever x is
            return False
        if clause.operator in ANY_NULL:
            return null_for_null(clause.left, tables) or null_for_null(clause.right, tables)
        return clause.operator in JSON and null_for_null(clause.left, tables)
    if isinstance(clause, BooleanClauseList):
        return bool(clause.clauses) and all(null_for_null(each, tables) for each in clause.clauses)
    if isinstance(clause, UnaryExpression) and not isinstance(clause, (Exists, CollectionAggregate)):
        return clause.operator in (operators.neg, operators.inv) and null_for_null(clause.element, tables)
    if isinstance(clause, FunctionElement) and name_of(clause) in STRICT:
        return any(null_for_null(each, tables) for each in clause.clauses)
    return False


def is_false_for_null(clause: ClauseElement, tables: Iterable[int]) -> bool:
    """Whether, as a condition, it refuses every row in which all columns of ``tables`` are NULL."""
    tables = set(tables)
    inner: Any = clause
    while isinstance(inner, Grouping):
        inner = inner.element
    if isinstance(inner, BinaryExpression) and inner.operator in (
        operators.in_op,
        operators.is_not,
        operators.between_op,
    ):
        if inner.operator is operators.is_not and "Null" not in type(inner.right).__name__:
            return False
        return null_for_null(inner.left, tables)
    if isinstance(inner, BooleanClauseList) and inner.operator is operators.or_:
        return all(is_false_for_null(each, tables) for each in inner.clauses)
    if isinstance(inner, BooleanClauseList) and inner.operator is operators.and_:
        return any(is_false_for_null(each, tables) for each in inner.clauses)
    return null_for_null(inner, tables)


def are_same(first: Any, second: Any) -> bool:
    """Whether two expressions are the same in every execution: also their parameters are the same ones."""
    if first is second:
        return True
    kind = getattr(first, "__visit_name__", None)
    if kind is None or kind != getattr(second, "__visit_name__", None) or kind not in KNOWN:
        return False
    if isinstance(first, ColumnClause):
        return bool(first.name == second.name and first.table is not None and hash(first.table) == hash(second.table))
    if isinstance(first, BindParameter):
        return bool(first.key == second.key)
    if isinstance(first, Case) and (first.value is None) is not (second.value is None):
        return False
    if any(said(getattr(first, name, None)) != said(getattr(second, name, None)) for name in SAID):
        return False
    mine, others = list(first.get_children()), list(second.get_children())
    return len(mine) == len(others) and all(map(are_same, mine, others))


KNOWN = frozenset(
    """
    binary bindparam case cast clauselist column expression_clauselist extract false function grouping label
    null true type_coerce typeclause unary
    """.split()  # noqa: SIM905
)
SAID = ("operator", "modifier", "modifiers", "name", "field", "type")  # what an expression says beside its parts


def said(value: Any) -> Any:
    return repr(value) if isinstance(value, TypeEngine) else value
