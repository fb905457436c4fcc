"""Values: how those of a column travel into DuckDB, by its SQLAlchemy type, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Dialect, TypeDecorator, types

from manybase.errors import UnsupportedStatement
from manybase.federation.duckdb.interning import Interned
from manybase.federation.duckdb.padding import padded

Values = Sequence[Any]
INSTEAD = (
    "Select the column as it is and compute with it in Python, or compute with it in a subquery of its own database."
)


@dataclass(frozen=True)
class Column:
    """One column of what is loaded.

    ``carried``: nothing computes with it. ``compared``: nothing but equality, DISTINCT, GROUP BY or UNION with other
    compared columns does; of values that are equal, the first comes back for all.
    """

    name: str
    type: types.TypeEngine[Any]
    home: Dialect
    carried: bool = False
    compared: bool = False
    collation: Literal["ci", "bin"] | None = None

    def __str__(self) -> str:
        return f"Column {self.name!r}"


class Lane:
    """The way of one column. ``sql`` is its type in DuckDB, ``carrier`` the one it is handed over as."""

    collate = ""
    marked = False  # whether spaces have become marks

    def __init__(self, column: Column, sql: str, carrier: str | None = None) -> None:
        self.column = column
        self.sql = sql
        self.carrier = carrier or sql

    def put(self, values: Values) -> Values:
        """What DuckDB is given for them. ``sql`` may have become wider."""
        raise NotImplementedError

    def refuse(self, why: str) -> UnsupportedStatement:
        return UnsupportedStatement(f"A computation with {self.column}", why, INSTEAD)


class Carried(Lane):
    def __init__(self, column: Column, interned: Interned) -> None:
        super().__init__(column, "BIGINT")
        self.interned = interned

    def put(self, values: Values) -> Values:
        return self.interned.carry(values)


class Compared(Carried):
    def put(self, values: Values) -> Values:
        return self.interned.compare(values, collation=self.column.collation, part=str(self.column))


class Plain(Lane):
    """Values that DuckDB stores as they are, of the Python types that are its own for this type."""

    def __init__(self, column: Column, sql: str, *allowed: type, carrier: str | None = None) -> None:
        super().__init__(column, sql, carrier)
        self.allowed = {*allowed, type(None)}

    def put(self, values: Values) -> Values:
        self.check(values)
        return values

    def check(self, values: Values) -> set[type]:
        """DuckDB would round 1.5 into a BIGINT column without a word."""
        found = set(map(type, values))
        strange = [each for each in found - self.allowed if not self.is_kind(each)]
        if strange:
            raise self.refuse(f"{self.sql} cannot hold its values of {', '.join(sorted(e.__name__ for e in strange))}")
        return found

    def is_kind(self, found: type) -> bool:
        """Whether it is a subclass of an allowed one, and not a kind of its own as bool and datetime are."""
        return any(issubclass(found, each) for each in self.allowed) and found not in (bool, datetime)


class Text(Plain):
    def __init__(self, column: Column) -> None:
        super().__init__(column, "VARCHAR", str)
        self.folds = column.collation == "ci"
        self.collate = "NOCASE.NOACCENT" if self.folds else ""

    def put(self, values: Values) -> Values:
        self.check(values)
        try:
            "".join(filter(None, values)).encode()
        except UnicodeEncodeError:
            raise self.refuse("some of its values are not valid Unicode") from None
        given = padded(values, f"A computation with {self.column}") if self.folds else values
        self.marked = self.marked or given is not values
        return given


class Whole(Plain):
    """Integers: 64 bits, and 128 where a value needs them."""

    def __init__(self, column: Column) -> None:
        super().__init__(column, "BIGINT", int, bool)

    def put(self, values: Values) -> Values:
        if Decimal in set(map(type, values)):  # as PostgreSQL sums integers of 64 bits
            values = [int(v) if isinstance(v, Decimal) and v == v.to_integral_value() else v for v in values]
        self.check(values)
        given = [value for value in values if value is not None]
        if given:
            least, most = min(given), max(given)
            if least < -(2**127) or most >= 2**127:
                raise self.refuse("some of its values have more than 128 bits")
            if least < -(2**63) or most >= 2**63:
                self.sql = self.carrier = "HUGEINT"
        return values


class Exact(Plain):
    """Decimals, with as many digits after the point as the values have; 38 digits in all."""

    def __init__(self, column: Column, scale: int) -> None:
        self.scale, self.whole = min(scale, 38), 0
        super().__init__(column, f"DECIMAL(38, {self.scale})", Decimal, int, carrier="VARCHAR")

    def put(self, values: Values) -> Values:
        self.check(values)
        scale, whole = self.scale, self.whole
        for value in values:
            if value is not None:
                _, digits, exponent = Decimal(value).as_tuple()
                if not isinstance(exponent, int):
                    raise self.refuse(f"{value} has no place in DECIMAL")
                if -exponent > scale:
                    scale = -exponent
                if len(digits) + exponent > whole:
                    whole = len(digits) + exponent
        if scale + whole > 38:
            raise self.refuse(f"its values need {whole} digits before the point and {scale} after it; DECIMAL has 38")
        self.scale, self.whole = scale, whole
        self.sql = f"DECIMAL(38, {scale})"
        return [None if value is None else format(value, "f") for value in values]


class Floating(Plain):
    def __init__(self, column: Column) -> None:
        super().__init__(column, "DOUBLE", float, int, Decimal)

    def put(self, values: Values) -> Values:
        if self.check(values) <= {float, type(None)}:
            return values
        stored = [None if value is None else float(value) for value in values]
        for value, kept in zip(values, stored, strict=True):
            if isinstance(value, int) and value != kept:
                raise self.refuse(f"DOUBLE cannot hold {value}")
        return stored


class Clock(Plain):
    def __init__(self, column: Column) -> None:
        super().__init__(column, "TIME", time)

    def put(self, values: Values) -> Values:
        self.check(values)
        if any(value is not None and value.tzinfo is not None for value in values):
            raise self.refuse("its times have time zones")
        return values


class Choice(Plain):
    """Enums of a server, which sort in the order they were declared in."""

    def __init__(self, column: Column, choices: Sequence[str]) -> None:
        names = ", ".join("'{}'".format(each.replace("'", "''")) for each in choices)
        super().__init__(column, f"ENUM({names})", str, carrier="VARCHAR")


class Nested(Plain):
    """Arrays of one depth, of what one lane can carry."""

    def __init__(self, column: Column, item: Lane) -> None:
        self.item, self.depth = item, 0
        super().__init__(column, f"{item.sql}[]", list, tuple)

    def put(self, values: Values) -> Values:
        self.check(values)
        depths = {depth(value) for value in values if value}
        if self.depth:
            depths.add(self.depth)
        if len(depths) > 1:
            raise self.refuse("its arrays have different numbers of dimensions")
        self.depth = max(depths, default=0)
        self.item.put([each for value in values if value for each in flat(value)])
        if isinstance(self.item, Exact):
            raise self.refuse("its arrays hold exact numbers")
        brackets = "[]" * max(self.depth, 1)
        self.sql, self.carrier = self.item.sql + brackets, self.item.carrier + brackets
        return [list(value) if isinstance(value, tuple) else value for value in values]


class Inferred(Lane):
    """A type that DuckDB does not have, or none: what its values are decides, and all must be of one kind."""

    def __init__(self, column: Column) -> None:
        super().__init__(column, "VARCHAR")
        self.lane: Lane | None = None

    def put(self, values: Values) -> Values:
        if self.lane is None:
            first = next((value for value in values if value is not None), None)
            if first is None:
                return values
            made = next((lane for kind, lane in KINDS.items() if type(first) is kind), None)
            if made is None:
                raise self.refuse(f"nothing is known of values of {type(first).__name__}")
            self.lane = made(self.column)
        given = self.lane.put(values)
        self.sql, self.carrier, self.collate = self.lane.sql, self.lane.carrier, self.lane.collate
        self.marked = self.lane.marked
        return given


class Decorated(Lane):
    """What a type's bind processor makes of values. What its result processor makes of that must be the value again."""

    def __init__(self, lane: Lane, there: Any, back: Any, *, proven: bool) -> None:
        super().__init__(lane.column, lane.sql, lane.carrier)
        self.lane, self.there, self.back, self.proven, self.collate = lane, there, back, proven, lane.collate

    def put(self, values: Values) -> Values:
        there = self.there
        stored = [None if value is None else there(value) for value in values] if there else values
        if not self.proven:
            self.prove(values, stored)
        given = self.lane.put(stored)
        self.sql, self.carrier, self.marked = self.lane.sql, self.lane.carrier, self.lane.marked
        return given

    def prove(self, values: Values, stored: Values) -> None:
        back = self.back or (lambda kept: kept)
        for value, kept in zip(values, stored, strict=True):
            if value is not None:
                again = back(kept)
                if again != value or type(again) is not type(value):
                    raise self.refuse(f"its type {type(self.column.type).__name__} is not invertible")


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, (list, tuple)) else 0


def flat(value: Any) -> list[Any]:
    return [each for item in value for each in (flat(item) if isinstance(item, (list, tuple)) else [item])]


KINDS: dict[type, Callable[[Column], Lane]] = {
    bool: lambda column: Plain(column, "BOOLEAN", bool),
    int: Whole,
    float: Floating,
    Decimal: lambda column: Exact(column, 0),
    str: Text,
    bytes: lambda column: Plain(column, "BLOB", bytes),
    datetime: lambda column: Plain(column, "TIMESTAMP", datetime),
    date: lambda column: Plain(column, "DATE", date),
    time: Clock,
    timedelta: lambda column: Plain(column, "INTERVAL", timedelta),
    UUID: lambda column: Plain(column, "UUID", UUID),
}


def lane(column: Column, dialect: Dialect, interned: Interned) -> Lane:
    """How this column travels. ``dialect`` is DuckDB's."""
    if column.compared:
        return Compared(column, interned)
    if column.carried:
        return Carried(column, interned)
    type_ = column.type
    if type_.__visit_name__ == "SET":  # MySQL's: a set in Python, so its order would be lost
        return Inferred(column)
    adapted = type_.dialect_impl(dialect)
    there, back = adapted.bind_processor(dialect), adapted.result_processor(dialect, None)
    way = stored(column, underlying(adapted), dialect)
    decorated = isinstance(type_, TypeDecorator)
    return Decorated(way, there, back, proven=not decorated) if there or decorated else way


def given_type(type_: types.TypeEngine[Any], home: Dialect) -> types.TypeEngine[Any]:
    """The type of what comes out of a computation with a column of this home: only PostgreSQL gives a time zone."""
    if isinstance(type_, types.DateTime) and type_.timezone and home.name != "postgresql":
        return types.DateTime()
    return type_


def underlying(type_: types.TypeEngine[Any]) -> types.TypeEngine[Any]:
    """What a TypeDecorator, or several in each other, decorates."""
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return type_


def stored(column: Column, type_: types.TypeEngine[Any], dialect: Dialect) -> Lane:
    made: Lane
    match type_:
        case types.Enum():
            choices = list(type_.enums)
            at_home = type_.native_enum and column.home.supports_native_enum
            made = Choice(column, choices) if choices and at_home else Text(column)
        case types.Boolean():
            made = Plain(column, "BOOLEAN", bool)
        case types.Integer():
            made = Whole(column)
        case types.Float():
            made = Floating(column)
        case types.Numeric():
            made = Exact(column, type_.scale or 0) if type_.asdecimal else Floating(column)
        case types.DateTime():
            made = Plain(column, "TIMESTAMP", datetime)
        case types.Date():
            made = Plain(column, "DATE", date)
        case types.Time():
            made = Clock(column)
        case types.Interval():
            made = Plain(column, "INTERVAL", timedelta)
        case types.LargeBinary():
            made = Plain(column, "BLOB", bytes)
        case types.Uuid():
            made = Plain(column, "UUID", UUID)
        case types.JSON():
            made = Plain(column, "JSON", str, carrier="VARCHAR")
        case types.ARRAY():
            item = Column(column.name, type_.item_type, column.home)
            made = Nested(column, stored(item, underlying(type_.item_type.dialect_impl(dialect)), dialect))
        case types.String():
            made = Text(column)
        case _:
            made = Inferred(column)
    return made
