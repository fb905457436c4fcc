"""The tables of a statement: all of them, as the SQL will name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import ClauseElement, Dialect, Table, TextClause
from sqlalchemy.engine.default import StrCompileDialect
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import ExecutableDDLElement


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
    return frozenset(table for table in recorded(clause, dialects) if isinstance(table, Table))


def recorded(clause: ClauseElement, dialects: Callable[[], Iterable[Dialect]]) -> set[Any]:
    try:
        return record(clause, generic_dialect())
    except CompileError as error:
        for dialect in dialects():
            try:
                return record(clause, dialect)
            except CompileError:
                continue
        raise error


def record(clause: ClauseElement, dialect: Dialect) -> set[Any]:
    own: Any = dialect.statement_compiler
    compiler: Any = recording(own)
    seen: set[Any] = compiler(dialect, clause).seen
    return seen


@cache
def generic_dialect() -> Dialect:
    return StrCompileDialect()


@cache
def recording(compiler: Any) -> type:
    return type(f"Recording{compiler.__name__}", (Recording, compiler), {})
