"""The tables of a statement: all of them, as the SQL will name them; and whether it is proven to only read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    URL,
    ClauseElement,
    ColumnElement,
    Delete,
    Dialect,
    FunctionElement,
    Insert,
    SelectBase,
    Table,
    TextClause,
    Update,
    select,
)
from sqlalchemy.engine.default import StrCompileDialect
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import visitors

# Functions that change nothing, on any server. Every other one may: nextval(), setval(), a function of the user's own.
PURE = frozenset(
    """
    abs aggregate_strings array_agg avg cast ceil ceiling char_length coalesce concat concat_ws count cube
    cume_dist current_date current_time current_timestamp date date_part date_trunc dense_rank exists exp
    extract first_value floor generate_series greatest group_concat grouping_sets ifnull json_agg
    json_array_length json_build_object json_each json_extract json_group_array json_object jsonb_agg julianday
    lag last_value lead least left length ln localtime localtimestamp log lower lpad ltrim max min mod now
    nth_value ntile nullif percent_rank percentile_cont percentile_disc pow power rank replace reverse right
    rollup round row_number rpad rtrim sign sqrt strftime string_agg substr substring sum to_char trim trunc
    unixepoch unnest upper
    """.split()  # noqa: SIM905  # ninety lines, one word each, would say no more
)


class Recording:
    """A compiler that notes the tables it renders.

    Only the compiled statement shows them all: those of a ``column_property``, of eager joins, of loader criteria, of
    subqueries and CTEs, of relationships in ``any()``.
    """

    def visit_table(self, table: Any, *arguments: Any, **options: Any) -> Any:
        self.seen.add(table)
        return super().visit_table(table, *arguments, **options)  # type: ignore[misc]  # mixed into a compiler

    def visit_insert(self, insert_stmt: Any, *arguments: Any, **options: Any) -> Any:
        self.seen.add(insert_stmt.table)  # rendered by name, without visit_table
        return super().visit_insert(insert_stmt, *arguments, **options)  # type: ignore[misc]

    def visit_function(self, func: Any, *arguments: Any, **options: Any) -> Any:
        self._unproven |= func.name.lower() not in PURE or bool(getattr(func, "packagenames", None))
        return super().visit_function(func, *arguments, **options)  # type: ignore[misc]

    def visit_textclause(self, *arguments: Any, **options: Any) -> Any:
        self._unproven = True
        return super().visit_textclause(*arguments, **options)  # type: ignore[misc]

    def visit_column(self, column: Any, *arguments: Any, **options: Any) -> Any:
        self._unproven |= column.is_literal and column.name != "*"  # which count() and exists() render
        return super().visit_column(column, *arguments, **options)  # type: ignore[misc]

    def for_update_clause(self, *arguments: Any, **options: Any) -> Any:
        self._unproven = True  # its locks are to be held until all is decided
        return super().for_update_clause(*arguments, **options)  # type: ignore[misc]

    def get_select_precolumns(self, select: Any, **options: Any) -> str:
        return ""  # for DISTINCT ON, which is PostgreSQL's, SQLAlchemy 2.0's generic compiler warns here

    _unproven = False

    @property
    def reads(self) -> bool:
        """Whether what was rendered can have no effect: known functions only, no locks, nothing that is opaque."""
        return not self._unproven

    @property
    def seen(self) -> set[Any]:
        seen: set[Any] = vars(self).setdefault("_recorded_tables", set())  # compiling happens inside __init__
        return seen


class Tables(frozenset[Table]):
    """``reads``: the statement is a SELECT, and proven to do nothing else."""

    reads = False


class Reading(Tables):
    reads = True


NOTHING = Tables()


def tables_of(clause: Any, dialects: Callable[[], Iterable[Dialect]]) -> Tables:
    """Every ``Table`` a statement touches. ``dialects`` are tried where the generic one cannot render it."""
    if isinstance(clause, Table):
        return Tables({clause})
    if isinstance(clause, ExecutableDDLElement):
        element = getattr(clause, "element", None)
        table = element if isinstance(element, Table) else getattr(element, "table", None)
        return Tables({table}) if isinstance(table, Table) else NOTHING
    if isinstance(clause, TextClause) or not isinstance(clause, ClauseElement):
        return NOTHING
    if isinstance(clause, Insert) and clause.stringify_dialect == "default":
        return Tables(walked(clause, dialects))  # what an INSERT renders depends on how the ORM will run it
    if isinstance(clause, (ColumnElement, FunctionElement)):
        clause = select(clause)  # as SQLAlchemy does when it executes a function
    seen, reads = recorded(clause, dialects)
    kind = Reading if reads and isinstance(clause, SelectBase) and is_all_known(clause) else Tables
    return kind(table for table in seen if isinstance(table, Table))


def is_all_known(clause: ClauseElement) -> bool:
    """Whether SQLAlchemy alone renders it: what a construct of the user's own renders, nobody knows."""
    return all(
        type(each).__module__.startswith("sqlalchemy.") and not getattr(each, "is_dml", False)
        for each in visitors.iterate(clause)
        if not isinstance(each, Table)
    )


def walked(clause: ClauseElement, dialects: Callable[[], Iterable[Dialect]]) -> frozenset[Table]:
    found: set[Any] = set()
    for each in visitors.iterate(clause):
        found |= recorded(each, dialects)[0] if isinstance(each, SelectBase) else {each, getattr(each, "table", None)}
    return frozenset(each for each in found if isinstance(each, Table))


def recorded(clause: ClauseElement, dialects: Callable[[], Iterable[Dialect]]) -> tuple[set[Any], bool]:
    try:
        return record(clause, dialect_named(clause.stringify_dialect))
    except CompileError as error:
        for dialect in dialects():
            try:
                return record(clause, dialect)
            except CompileError:
                continue
        if isinstance(clause, (Update, Delete)):  # the ORM splits an UPDATE of an inherited class in two
            return set(walked(clause, dialects)), False
        raise error


def record(clause: ClauseElement, dialect: Dialect) -> tuple[set[Any], bool]:
    own: Any = dialect.statement_compiler
    compiler: Any = recording(own)(dialect, clause)
    return compiler.seen, compiler.reads


@cache
def dialect_named(name: str) -> Dialect:
    """The generic dialect, or the one whose own construct a statement is: it alone shows what is in ON CONFLICT."""
    return StrCompileDialect() if name == "default" else URL.create(name).get_dialect()()


@cache
def recording(compiler: Any) -> type:
    return type(f"Recording{compiler.__name__}", (Recording, compiler), {})
