"""Fragment: the part of a cross-database select that one database answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Alias,
    BinaryExpression,
    BindParameter,
    ColumnClause,
    ColumnElement,
    FromClause,
    PrimaryKeyConstraint,
    SelectBase,
    Table,
    TypeCoerce,
    UniqueConstraint,
)
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeEngine

from manybase.federation.expressions import are_same


@dataclass(eq=False, slots=True)
class Output:
    """One column of a fragment: what its database computes, and what it is called where the rest is executed."""

    name: str
    expression: Any
    type: TypeEngine[Any]
    uses: int = 0  # in what is rendered


@dataclass(eq=False, slots=True)
class Reducer:
    """``inner`` can have a match only where it equals the ``key`` of some row of ``outer``, another fragment."""

    outer: Fragment
    key: Output
    inner: ColumnElement[Any]


@dataclass(eq=False)
class Fragment:
    """``source`` is what is selected from, and ``where`` what is already decided there; or ``whole`` is all of it."""

    number: int
    database: str
    sources: list[FromClause] = field(default_factory=list)
    tables: set[int] = field(default_factory=set)  # hashes of the FROM elements in it
    where: list[ColumnElement[Any]] = field(default_factory=list)
    whole: SelectBase | None = None
    outputs: list[Output] = field(default_factory=list)
    reducers: list[Reducer] = field(default_factory=list)
    first: list[ColumnElement[Any]] | None = None  # ORDER BY: it may be asked for its first rows only
    estimate: int | None = None  # of its rows, where its database was asked
    size: int | None = None  # of its table, where nothing is said of it but whose keys it must have
    sized_until: float = 0.0  # how long that holds, by the clock of time.monotonic()
    usual: int | None = None  # rows that came the last time
    unsent: float | None = None  # keys in each row that had some, where those were too many to be of use
    grouping: int = 0  # so many first outputs are what its rows are grouped by
    asked: Reducer | None = None  # all that is wanted to know is which of its keys have a match
    few_missing: bool = False  # and most of them should

    @property
    def answers(self) -> Reducer | None:
        """The keys that it is asked for, where nothing else of it is used."""
        return self.asked if len(self.outputs) == 1 and self.whole is None else None

    @cached_property
    def is_small(self) -> bool:
        """Whether a key of a table says that there is one row at most."""
        equal = {
            side.name
            for each in self.where
            if isinstance(each, BinaryExpression) and each.operator is operators.eq
            for side, other in ((each.left, each.right), (each.right, each.left))
            if is_column(side) and isinstance(other, BindParameter)
        }
        return len(self.sources) == 1 and any(key <= equal for key in keys_of(self.sources[0]))

    @cached_property
    def unique(self) -> set[str]:
        """The columns of its only table of which each value is in one row at most."""
        keys = keys_of(self.sources[0]) if len(self.sources) == 1 else []
        return {name for key in keys if len(key) == 1 for name in key}

    @property
    def never_null(self) -> ColumnElement[Any] | None:
        """A column of its only table that holds no NULL."""
        table = table_in(self.sources[0]) if len(self.sources) == 1 else None
        keys = [] if table is None else list(table.primary_key.columns)
        return self.sources[0].c[keys[0].key] if keys else None

    @property
    def name(self) -> str:
        return f"_f{self.number}"

    def output(self, expression: Any) -> Output:
        """The column that holds ``expression``, a new one unless there is one."""
        for each in self.outputs:
            if is_column(expression) and is_column(each.expression):
                if each.expression.name == expression.name and hash(each.expression.table) == hash(expression.table):
                    return each
            elif are_same(each.expression, expression):
                return each
        made = Output(f"c{len(self.outputs)}", expression, expression.type)
        self.outputs.append(made)
        return made

    def position(self, output: Output) -> int:
        return self.outputs.index(output)


def is_column(expression: Any) -> bool:
    return isinstance(expression, ColumnClause) and not isinstance(expression, TypeCoerce)


def table_in(source: Any) -> Table | None:
    """The table that a FROM element is, be it under another name."""
    while isinstance(source, Alias):
        source = source.element
    return source if isinstance(source, Table) else None


def keys_of(source: Any) -> list[set[str]]:
    """The sets of columns that are unique in a table."""
    table = table_in(source)
    if table is None:
        return []
    unique = [each for each in table.constraints if isinstance(each, (PrimaryKeyConstraint, UniqueConstraint))]
    indexed = [{column.name for column in index.columns} for index in table.indexes if index.unique]
    return [*({column.name for column in each.columns} for each in unique if len(each.columns)), *indexed]
