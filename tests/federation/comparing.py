"""Comparing: whether two answers are the same, in values, Python types and, where it is promised, in order."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Row, RowMapping, Table, inspect
from sqlalchemy.orm import DeclarativeBase

FLOAT_DIGITS = 12  # sums of floats depend on their order
PLAIN = {int, str, bool, bytes, date, timedelta, UUID, type(None)}
NAIVE = {"mariadb", "sqlite"}  # what has no time zones: DateTime(timezone=True) comes back without one
Home = Callable[[Table], str]


@dataclass(frozen=True)
class Bag:
    """Rows in any order."""

    rows: Iterable[Any]


class Told(NamedTuple):
    """A value, its type and whatever else makes it the same as another one; it can be hashed and shown."""

    kind: str
    value: Any

    def __repr__(self) -> str:
        return f"{self.kind}({self.value!r})"


def told(value: Any, *, home: Home | None = None, digits: int | None = None) -> Any:
    """What a session returned, as plain data that outlive it.

    ``home`` says on which backend a table is: attributes of entities are expected as that backend gives them. With
    ``digits``, decimals are told to so many significant ones: averages and quotients have as many as a backend likes.
    """
    return Teller(home, digits).tell(value)


class Teller:
    def __init__(self, home: Home | None, digits: int | None) -> None:
        self._home = home
        self._context = None if digits is None else Context(prec=digits)
        self._entities: list[Any] = []
        self._known: dict[Any, Any] = {}

    def tell(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return Told(kind.__name__, value)
        match value:
            case Bag():
                return Counter(self.tell(each) for each in value.rows)
            case DeclarativeBase():
                return self.entity_once(value)
            case Mapping() | RowMapping():
                return Told("mapping", frozenset((str(name), self.tell(each)) for name, each in value.items()))
            case Row() | tuple() | list():
                return tuple(self.tell(each) for each in value)
            case set() | frozenset():
                return frozenset(self.tell(each) for each in value)
            case float():
                return Told("float", "NaN" if math.isnan(value) else float(f"%.{FLOAT_DIGITS}g" % value))
            case Decimal():
                return Told("Decimal", self.decimal(value))
            case datetime():
                aware = value.tzinfo is not None
                return Told("aware datetime" if aware else "datetime", value.astimezone(UTC) if aware else value)
        return Told(kind.__name__, value)

    def decimal(self, value: Decimal) -> Decimal:
        return value if self._context is None else self._context.plus(value)

    def entity_once(self, entity: Any) -> Any:
        if self._entities:  # inside of another one it may be cut short
            return self.entity(entity)
        if entity not in self._known:
            self._known[entity] = self.entity(entity)
        return self._known[entity]

    def entity(self, entity: Any) -> Any:
        """Its class and what is loaded of it; where it is met again inside of itself, its key."""
        state = inspect(entity)
        if any(entity is each for each in self._entities):
            return Told(type(entity).__name__, state.identity)
        self._entities.append(entity)
        try:
            loaded = [(name, value) for name, value in state.dict.items() if name != "_sa_instance_state"]
            attributes = frozenset((name, self.attribute(state, name, value)) for name, value in loaded)
        finally:
            self._entities.pop()
        return Told(type(entity).__name__, attributes)

    def attribute(self, state: Any, name: str, value: Any) -> Any:
        if self._home is not None and isinstance(value, datetime):
            column = state.mapper.columns[name]
            zoned = isinstance(column.type, DateTime) and column.type.timezone and value.tzinfo is not None
            if zoned and self._home(column.table) in NAIVE:
                value = value.astimezone(UTC).replace(tzinfo=None)
        return self.tell(value)


def different(expected: Any, actual: Any) -> str | None:
    """What makes two told answers different, for people; None where nothing does."""
    if expected == actual:
        return None
    if isinstance(expected, Counter) and isinstance(actual, Counter):
        missing, extra = expected - actual, actual - expected
        return f"{len(list(missing.elements()))} missing, such as {shown(missing)}; extra: {shown(extra)}"
    if isinstance(expected, tuple) and isinstance(actual, tuple):
        pairs = enumerate(zip_longest(expected, actual, fillvalue="nothing"))
        number, (wanted, got) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
        return f"row {number} of {len(expected)} (got {len(actual)}): {different(wanted, got)}"
    if isinstance(expected, Told) and isinstance(actual, Told) and isinstance(expected.value, frozenset):
        wanted, got = expected.value, actual.value
        if isinstance(got, frozenset):
            return (
                f"{expected.kind} {sorted(wanted - got, key=repr)}, got {actual.kind} {sorted(got - wanted, key=repr)}"
            )
    return f"expected {expected!r}, got {actual!r}"


def shown(rows: Counter[Any]) -> str:
    return ", ".join(repr(row) for row, _ in rows.most_common(2)) or "none"
