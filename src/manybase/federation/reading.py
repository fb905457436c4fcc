"""Reading: the rows of a fragment as plain tuples, their values as SQLAlchemy gives them for its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from sqlalchemy import CursorResult

from manybase.federation import internals
from manybase.federation.absent import null_kept

Rows: TypeAlias = "list[tuple[Any, ...]]"
CHUNK = 10_000
SLICE = 500


Processors: TypeAlias = "list[tuple[int, Callable[[Any], Any]]]"


def chunks(result: CursorResult[Any], used: Processors, size: int = CHUNK) -> Iterator[Rows]:
    """The rows, so many at a time. A ``Row`` for each would cost more than all the rest."""
    while rows := internals.raw_rows(result, size):
        yield processed(rows, used)
        if len(rows) < size:  # to ask again for none may be a round trip
            return


def slices(rows: Rows) -> Iterator[Rows]:
    """Some at a time; those that were read are not kept here."""
    left = [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]
    del rows
    left.reverse()
    while left:
        yield left.pop()


def processors_of(result: CursorResult[Any], types: list[Any]) -> Processors:
    """What makes the values of columns, by their positions; where it is None, the driver's are as they should be."""
    described: Any = result.cursor.description if result.cursor is not None else ()
    made = [
        null_kept(result.context.get_result_processor(type_, column[0], column[1]), type_, result.dialect)
        for type_, column in zip(types, described, strict=True)
    ]
    return [(position, process) for position, process in enumerate(made) if process is not None]


def processed(rows: Any, used: Processors) -> Rows:
    """Column by column, which is faster than row by row."""
    if not used:
        return rows if type(rows) is list and type(rows[0]) is tuple else [tuple(row) for row in rows]
    columns = list(zip(*rows, strict=True))
    for position, process in used:
        columns[position] = tuple(map(process, columns[position]))
    return list(zip(*columns, strict=True))
