"""Sizes: about how many bytes of memory rows take, as Python objects."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Sequence
from sys import getsizeof
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, Float, Integer, Interval, Numeric, String, Time, Uuid
from sqlalchemy.types import TypeEngine

SAMPLE = 10
SLOT = 8  # of a list, which a row is in
PLAIN = frozenset({type(None), bool, int, float, str, bytes, decimal.Decimal, datetime.datetime, datetime.date})
GRAIN = 16  # what memory is handed out in
ROW, TEXT, CHARACTER = 64, 80, 4  # of a tuple without values, a string without characters, and a character at most
WIDEST: dict[type[TypeEngine[Any]], int] = {
    Integer: 48,
    Float: 32,
    Boolean: 32,
    Numeric: 112,
    DateTime: 64,
    Date: 48,
    Time: 64,
    Interval: 48,
    Uuid: 144,
}


def estimated_size(rows: Sequence[tuple[Any, ...]]) -> int:
    """In bytes, from some of them."""
    if not rows:
        return 0
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    total = 0
    for row in sample:
        total += SLOT + in_grains(getsizeof(row))
        for value in row:
            total += in_grains(getsizeof(value)) if type(value) in PLAIN else size_of(value)
    return total * len(rows) // len(sample)


def widest_row(types: Iterable[TypeEngine[Any]]) -> int | None:
    """In bytes, what a row of such columns takes at most; None where some of them may be of any size."""
    total = ROW
    for each in types:
        width = next((width for kind, width in WIDEST.items() if isinstance(each, kind)), None)
        if isinstance(each, String):
            width = None if each.length is None else TEXT + CHARACTER * each.length
        elif isinstance(each, Numeric) and each.precision is None and not isinstance(each, Float):
            width = None
        if width is None:
            return None
        total += SLOT + width
    return total


def in_grains(size: int) -> int:
    return -(-size // GRAIN) * GRAIN


def size_of(value: Any) -> int:
    """With all that is in it: JSON and arrays are lists and dictionaries."""
    own = in_grains(getsizeof(value))
    if isinstance(value, (tuple, list, set, frozenset)):
        return own + sum(map(size_of, value))
    if isinstance(value, dict):
        return own + sum(map(size_of, value.keys())) + sum(map(size_of, value.values()))
    return own + (size_of(value.int) if isinstance(value, UUID) else 0)
