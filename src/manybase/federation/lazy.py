"""Lazy: the rows of a large result, made as entities are made of them, so that not all of them are there beside those.

SQLAlchemy takes what a cursor's ``fetchall`` gives for a sequence, looks at its first row, and goes through it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload

from manybase.federation.python.evaluating import Row


class LazyRows(Sequence[Row]):
    """Who asks for more than to go through them once, as for their number, has all of them made."""

    def __init__(self, first: Row, others: Iterator[Row]) -> None:
        self._first = first
        self._left: Iterator[Row] | None = chain((first,), others)
        self._made: list[Row] | None = None

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Row]:
        if self._made is not None:
            return iter(self._made)
        left, self._left = self._left, None
        if left is None:
            raise RuntimeError("These rows have been read already: they were made while they were read.")
        return left

    def __len__(self) -> int:
        if self._made is None and self._left is None:
            raise TypeError("These rows are being read: nobody knows how many they are.")  # list() asks, and goes on
        return len(self._all())

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return self._first if at == 0 else self._all()[at]

    def _all(self) -> list[Row]:
        if self._made is None:
            self._made = list(iter(self))
        return self._made
