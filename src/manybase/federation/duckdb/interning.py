"""Interning: values that are only carried through travel as numbers, and what comes back is what went in."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from manybase.errors import UnsupportedStatement


class Interned:
    """The values of one statement. The code of a value is its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._codes: dict[Hashable, int] = {}

    def carry(self, values: Sequence[Any]) -> list[int | None]:
        """A code for each, whatever it is."""
        first = len(self.values)
        self.values.extend(values)
        return [None if value is None else code for code, value in enumerate(values, first)]

    def compare(self, values: Sequence[Any], *, collation: str | None, part: str) -> list[int | None]:
        """Equal codes for values that a database calls equal, in any column; the first of them comes back for all."""
        codes: list[int | None] = []
        known = self._codes
        for value in values:
            if value is None:
                codes.append(None)
                continue
            try:
                key = fold(value) if collation == "ci" and isinstance(value, str) else comparable(value)
                code = known.get(key)
            except TypeError:
                raise UnsupportedStatement(
                    part,
                    f"values of {type(value).__name__} are not comparable",
                    "Leave it out of DISTINCT, GROUP BY, UNION and comparisons.",
                ) from None
            if code is None:
                code = known[key] = len(self.values)
                self.values.append(value)
            codes.append(code)
        return codes


def fold(text: str) -> tuple[str, str]:
    """What a case-insensitive collation of MySQL compares: no case, no accents, no spaces at the end."""
    plain = unicodedata.normalize("NFD", text.rstrip(" "))
    return "text", "".join(each for each in plain if not unicodedata.category(each).startswith("M")).lower()


def comparable(value: Any) -> Hashable:
    """Equal for what databases call equal: 1 and 1.0, NaN and NaN, 12:00 in Berlin and 11:00 in London, equal JSON."""
    if type(value) is str or type(value) is int:
        return value  # most are
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, (float, Decimal)):
        return "NaN" if value != value else value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, dict):
        return frozenset((key, comparable(each)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(comparable(each) for each in value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    hash(value)
    return value  # type: ignore[no-any-return]
