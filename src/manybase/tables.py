"""The tables of a statement: all of them, as the SQL will name them."""

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

    def get_select_precolumns(self, select: Any, **options: Any) -> str:
        return ""  # for DISTINCT ON, which is PostgreSQL's, SQLAlchemy 2.0's generic compiler warns here

    @property
    def seen(self) -> set[Any]:
        seen: set[Any] = vars(self).setdefault("_recorded_tables", set())  # compiling happens inside __init__
        return seen


def tables_of(clause: Any, dialects: Callable[[], Iterable[Dialect]]) -> frozenset[Table]:
    """Every ``Table`` a statement touches. ``dialects`` are tried where the generic one cannot render it."""
    if isinstance(clause, Table):
        return frozenset({clause})
    if isinstance(clause, ExecutableDDLElement):
        element = getattr(clause, "element", None)
        table = element if isinstance(element, Table) else getattr(element, "table", None)
        return frozenset({table}) if isinstance(table, Table) else frozenset()
    if isinstance(clause, TextClause) or not isinstance(clause, ClauseElement):
        return frozenset()
    if isinstance(clause, Insert) and clause.stringify_dialect == "default":
        return walked(clause, dialects)  # what an INSERT renders depends on parameters, and on how the ORM will run it
    if isinstance(clause, (ColumnElement, FunctionElement)):
        clause = select(clause)  # as SQLAlchemy does when it executes a function
    return frozenset(table for table in recorded(clause, dialects) if isinstance(table, Table))


def walked(clause: ClauseElement, dialects: Callable[[], Iterable[Dialect]]) -> frozenset[Table]:
    found: set[Any] = set()
    for each in visitors.iterate(clause):
        found |= recorded(each, dialects) if isinstance(each, SelectBase) else {each, getattr(each, "table", None)}
    return frozenset(each for each in found if isinstance(each, Table))


def recorded(clause: ClauseElement, dialects: Callable[[], Iterable[Dialect]]) -> set[Any]:
    try:
        return record(clause, dialect_named(clause.stringify_dialect))
    except CompileError as error:
        for dialect in dialects():
            try:
                return record(clause, dialect)
            except CompileError:
                continue
        if isinstance(clause, (Update, Delete)):  # the ORM splits an UPDATE of an inherited class in two
            return set(walked(clause, dialects))
        raise error


def record(clause: ClauseElement, dialect: Dialect) -> set[Any]:
    own: Any = dialect.statement_compiler
    compiler: Any = recording(own)
    seen: set[Any] = compiler(dialect, clause).seen
    return seen


@cache
def dialect_named(name: str) -> Dialect:
    """The generic dialect, or the one whose own construct a statement is: it alone shows what is in ON CONFLICT."""
    return StrCompileDialect() if name == "default" else URL.create(name).get_dialect()()


@cache
def recording(compiler: Any) -> type:
    return type(f"Recording{compiler.__name__}", (Recording, compiler), {})
