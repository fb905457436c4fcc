"""Joining: rows of one side, looked up in an index of the other. Each step takes rows and gives rows, as tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from manybase.federation.python.evaluating import Evaluate, Row, Value
from manybase.federation.reading import Rows

NOTHING: Rows = []


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


class Index:
    """Rows by their key. ``only`` holds the one row of each key, or is None where a key has several."""

    __slots__ = ("_all", "_get", "_rows", "only")

    def __init__(self, rows: Rows, get: Evaluate) -> None:
        self._get = get
        self._all: dict[Any, Rows] | None = None
        only = dict(zip(map(get, rows), rows, strict=True))
        unique = len(only) == len(rows)
        only.pop(None, None)
        self.only: dict[Any, Row] | None = only if unique else None
        self._rows: Rows = [] if unique else rows

    @property
    def all(self) -> dict[Any, Rows]:
        if self._all is None:
            get, found = self._get, {key: [row] for key, row in (self.only or {}).items()}
            add = found.setdefault
            for row in self._rows:
                add(get(row), []).append(row)
            found.pop(None, None)
            self._all = found
        return self._all


def inner(rows: Iterable[Row], get: Evaluate, index: Index) -> Rows:
    if index.only is not None:
        find = index.only.get
        return [row + other for row in rows if (other := find(get(row))) is not None]
    find_all = index.all.get
    return [row + other for row in rows for other in find_all(get(row), NOTHING)]


def picking(positions: Sequence[int], first: int, *, only: bool, swapped: bool) -> Pick:
    """As ``inner``, where only the values at some positions of the joined rows are of use: each row is made once.

    ``first`` is how many values the row on the left has, which ``swapped`` is that of the index. ``only``: the index
    finds one row for each key.
    """
    left, right = ("other", "row") if swapped else ("row", "other")
    return written(tuple(f"{left}[{at}]" if at < first else f"{right}[{at - first}]" for at in positions), only)


@lru_cache(maxsize=500)
def written(values: tuple[str, ...], only: bool) -> Pick:
    """Python's own loop over these very values takes half of what any other way of putting such rows together does."""
    each = "if (other := find(get(row))) is not None" if only else "for other in find(get(row), NOTHING)"
    source = f"lambda rows, get, find: [({', '.join(values)},) for row in rows {each}]"
    made: Pick = eval(source, {"NOTHING": NOTHING})  # nothing but names and numbers of our own
    return made


def inner_swapped(index: Index, rows: Iterable[Row], get: Evaluate) -> Rows:
    """As ``inner``, where what is indexed comes first in a row."""
    assert index.only is not None
    find = index.only.get
    return [other + row for row in rows if (other := find(get(row))) is not None]


def crossed(rows: Iterable[Row], others: Rows) -> Rows:
    return [row + other for row in rows for other in others]


def left(
    rows: Iterable[Row], get: Evaluate | None, index: Index | None, others: Rows, width: int, accept: Accept
) -> Rows:
    """Each row with its matches, or with NULLs. ``get`` is None where nothing is equal: then all others may match."""
    missing: Row = (None,) * width
    result: Rows = []
    find = None if index is None else index.all.get
    for row in rows:
        found = others if find is None or get is None else find(get(row), NOTHING)
        before = len(result)
        if accept is None:
            result += [row + other for other in found]
        else:
            result += [joined for other in found if accept(joined := row + other)]
        if len(result) == before:
            result.append(row + missing)
    return result


def matched(
    rows: Iterable[Row], get: Evaluate | None, index: Index | None, others: Rows, accept: Accept, *, wanted: bool
) -> Rows:
    """The rows that have a match, or, if that is ``wanted`` False, those that have none."""
    result: Rows = []
    find = None if index is None else index.all.get
    for row in rows:
        found = others if find is None or get is None else find(get(row), NOTHING)
        has = bool(found) if accept is None else any(accept(row + other) for other in found)
        if has is wanted:
            result.append(row)
    return result


Pick: TypeAlias = "Callable[[Iterable[Row], Evaluate, Callable[..., Any]], Rows]"
Accept: TypeAlias = "Callable[[Row], Any] | None"
