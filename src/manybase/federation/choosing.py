"""Choosing: which fragment comes first, and whether the keys that it finds are of use to another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import String

from manybase.federation.fragments import Fragment, is_column
from manybase.federation.keys import Sending
from manybase.federation.limits import Federation
from manybase.federation.reading import CHUNK
from manybase.federation.sizes import widest_row

WHOLE, FILTERED, ALL, REDUCED = 0, 10_000, 1_000_000, 0.05  # rows of which nothing is known, and a share of them
FEW = 1_000  # keys; what they bring may be had at once, if it is not more than AT_MOST
LIMITED = ("postgresql", "mysql", "mariadb", "sqlite")  # which take a parameter as LIMIT, without ORDER BY
AT_MOST = CHUNK  # rows
MODEST = 200_000_000  # bytes
GROWTH = 2  # what is so many times as much as the last time may still be had at once
SHARE = 2  # rows for each key: a table without more is fetched as it is
SCANNED = 50  # rows for each key: a table without more is read from its beginning to its end


def is_unique(fragment: Fragment, sent: Sending) -> bool:
    """Whether each of these keys brings one row at most."""
    return has_unique(fragment, fragment.reducers[int(sent.name.removeprefix("keys_"))].inner)


def has_unique(fragment: Fragment, column: Any) -> bool:
    """Whether no two of its rows have the same value in a column."""
    return getattr(column, "name", None) in fragment.unique


def independent(fragments: Sequence[Fragment], early: Fragment | None = None) -> list[Fragment]:
    """The first of them, and others of other databases that it cannot reduce, or need not."""
    batch: list[Fragment] = []
    for each in fragments:
        waits = each is not early and any(
            reducer.outer in fragments and reducer.outer is not each for reducer in each.reducers
        )
        if not batch or (not waits and each.database not in {known.database for known in batch}):
            batch.append(each)
    return batch


def covers(fragment: Fragment, keys: int) -> bool:
    """Whether so many keys leave out so little of a table that it is better fetched as it is."""
    return keys > FEW and not fragment.grouping and fragment.size is not None and fragment.size <= SHARE * keys


def should_scan(fragment: Fragment, keys: int) -> bool:
    """Whether groups of the rows with so many keys are better made by reading all of a table, once, in its order."""
    return keys > FEW and fragment.grouping > 0 and fragment.size is not None and fragment.size <= SCANNED * keys


def at_once(fragment: Fragment, keys: int | None, limits: Federation, backend: str, *, passes: bool) -> int | None:
    """With up to how many rows a driver may have all of them at once, which is faster than a cursor on the server.

    ``passes``: they are not kept.
    """
    if backend not in LIMITED:
        return None
    if keys is not None:
        return AT_MOST if keys <= FEW else None
    if fragment.usual is None or fragment.whole is not None:
        return None
    most = GROWTH * fragment.usual
    if most > AT_MOST:
        size = None if backend == "sqlite" else widest(fragment)  # whose texts are of any length
        memory = min(MODEST, limits.max_bytes // 2)  # the driver has a copy
        most = 0 if passes or size is None else min(most, memory // size)
        if most <= fragment.usual:
            return AT_MOST if fragment.usual < AT_MOST else None
    return min(max(AT_MOST, most), limits.max_rows + 1)


def widest(fragment: Fragment) -> int | None:
    """In bytes, what a row of it takes at most. What is computed of a text may be longer than that."""
    types = [each.type for each in fragment.outputs]
    computed = (isinstance(each.type, String) and not is_column(each.expression) for each in fragment.outputs)
    return None if any(computed) else widest_row(types)


def in_order(fragments: Iterable[Fragment]) -> list[Fragment]:
    """Those that bring little first: their keys reduce the others."""
    left, done = list(fragments), list[Fragment]()
    while left:
        best = min(left, key=lambda each: (expected(each, done), each.number))
        left.remove(best)
        done.append(best)
    return done


def expected(fragment: Fragment, done: list[Fragment]) -> float:
    """About how many rows it brings after those; as its database supposes, else by what it says."""
    if fragment.whole is not None:
        return WHOLE
    if fragment.answers is not None and fragment.answers.outer not in done:
        return 2 * ALL  # first the keys that it is asked for
    rows = fragment.estimate
    if rows is None:
        rows = 1 if fragment.is_small else FILTERED if fragment.where else ALL
    return rows * REDUCED if any(reducer.outer in done for reducer in fragment.reducers) else rows
