"""Layouts: where in a row the columns of fragments and derived tables stand."""

from __future__ import annotations

from typing import Any

from manybase.federation.fragments import Fragment
from manybase.federation.python.evaluating import Value
from manybase.federation.python.program import (
    Source,
)
from manybase.federation.trees import Rest


class Layout:
    """Where the outputs of fragments, and the columns of derived tables, stand in a row."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, int]] = []  # a fragment or a derived table, and how many columns are before it

    def of(self, item: Any, before: int) -> Layout:
        made = Layout()
        made.items = [*self.items, (item, before)]
        return made

    @property
    def tables(self) -> set[int]:
        return {table for item, _ in self.items for table in item.tables}

    def before(self, item: Any) -> int | None:
        return next((before for each, before in self.items if each is item), None)


class Part:
    """Rows, and where in them everything stands."""

    def __init__(self, source: Source, layout: Layout, missing: set[Fragment]) -> None:
        self.source = source
        self.layout = layout
        self.missing = missing


class Derived:
    """A subquery in FROM that is a program of its own; its columns by name."""

    def __init__(self, rest: Rest, names: list[str]) -> None:
        self.tables = rest.tables
        self.names = names


class Deferred(Layout):
    """The layout of two parts side by side; how wide the first is, is known when all outputs are."""

    def __init__(self, first: Part, second: Part) -> None:
        self._first = first
        self._second = second

    @property
    def items(self) -> Any:  # type: ignore[override]
        width = self._first.source.width
        return [*self._first.layout.items, *((item, before + width) for item, before in self._second.layout.items)]


class Placed(Value):
    """A column of a fragment or a derived table, wherever it stands once all outputs are known."""

    def __init__(self, part: Part, item: Any, column: Any, type_: Any, folds: bool = False) -> None:
        super().__init__(type_, folds=folds)
        self.part = part
        self.item = item
        self.column = column

    @property
    def position(self) -> int:
        """Asked for when rows come; then it stays."""
        if self._position is None:
            before = self.part.layout.before(self.item)
            assert before is not None
            number: int = self.item.position(self.column) if isinstance(self.item, Fragment) else self.column
            self._position = before + number
        return self._position

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Placed) and other.item is self.item and other.column == self.column

    def __hash__(self) -> int:
        return hash(id(self.item))
