"""Reading: the rows of a fragment as plain tuples, their values as SQLAlchemy gives them for its database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from sqlalchemy import CursorResult

from manybase.federation import internals
from manybase.federation.absent import null_kept

Rows: TypeAlias = "list[tuple[Any, ...]]"
CHUNK = 10_000


def chunks(result: CursorResult[Any], types: list[Any], size: int = CHUNK) -> Iterator[Rows]:
    """The rows, so many at a time. A ``Row`` for each would cost more than all the rest."""
    cursor, context = result.cursor, result.context
    if cursor is None or cursor.description is None:
        return
    processors = [
        null_kept(context.get_result_processor(type_, described[0], described[1]), type_, context.dialect)
        for type_, described in zip(types, cursor.description, strict=True)
    ]
    used = [(position, process) for position, process in enumerate(processors) if process is not None]
    while rows := internals.raw_rows(result, size):
        yield processed(rows, used)


def processed(rows: Any, used: list[tuple[int, Any]]) -> Rows:
    """Column by column, which is faster than row by row."""
    if not used:
        return rows if type(rows) is list and type(rows[0]) is tuple else [tuple(row) for row in rows]
    columns = list(zip(*rows, strict=True))
    for position, process in used:
        columns[position] = tuple(map(process, columns[position]))
    return list(zip(*columns, strict=True))
