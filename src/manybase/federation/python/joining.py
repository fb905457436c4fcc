"""Joining: rows of one side, looked up in an index of the other. Each step takes rows and gives rows, as tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from manybase.federation.python.evaluating import Evaluate, Row, Value
from manybase.federation.reading import Rows

NOTHING: Rows = []
Index: TypeAlias = "dict[Any, Rows]"


@dataclass(frozen=True, slots=True)
class Keys:
    """What is equal in a match: expressions of the row so far, and of the row it is joined with."""

    left: list[Value]
    right: list[Value]


def key_of(keys: Sequence[Value], values: dict[str, Any]) -> Evaluate:
    """One value, or a tuple of several; None where one is NULL, which is equal to nothing."""
    made = [key.of(values) for key in keys]
    if len(made) == 1:
        return made[0]
    if all(key.position is not None for key in keys):
        get: Any = itemgetter(*[key.position for key in keys if key.position is not None])
        return lambda row: None if None in (key := get(row)) else key
    return lambda row: None if None in (key := tuple(get(row) for get in made)) else key


def index_of(rows: Rows, get: Evaluate) -> Index:
    index: Index = {}
    add = index.setdefault
    for row in rows:
        add(get(row), []).append(row)
    index.pop(None, None)
    return index


def inner(rows: Iterable[Row], get: Evaluate, index: Index) -> Rows:
    find = index.get
    return [row + other for row in rows for other in find(get(row), NOTHING)]


def crossed(rows: Iterable[Row], others: Rows) -> Rows:
    return [row + other for row in rows for other in others]


def left(rows: Iterable[Row], get: Evaluate | None, index: Index, others: Rows, width: int, accept: Accept) -> Rows:
    """Each row with its matches, or with NULLs. ``get`` is None where nothing is equal: then all others may match."""
    missing: Row = (None,) * width
    result: Rows = []
    for row in rows:
        found = others if get is None else index.get(get(row), NOTHING)
        before = len(result)
        if accept is None:
            result += [row + other for other in found]
        else:
            result += [joined for other in found if accept(joined := row + other)]
        if len(result) == before:
            result.append(row + missing)
    return result


def matched(
    rows: Iterable[Row], get: Evaluate | None, index: Index, others: Rows, accept: Accept, *, wanted: bool
) -> Rows:
    """The rows that have a match, or, if that is ``wanted`` False, those that have none."""
    if get is not None and accept is None:
        return [row for row in rows if (get(row) in index) is wanted]
    result: Rows = []
    for row in rows:
        found = others if get is None else index.get(get(row), NOTHING)
        has = bool(found) if accept is None else any(accept(row + other) for other in found)
        if has is wanted:
            result.append(row)
    return result


Accept: TypeAlias = "Callable[[Row], Any] | None"
