"""Zoo: types of each kind of server, with values that somebody's engine has lost or changed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Text,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine


class Colour(enum.Enum):
    red = "r"
    blue = "b"
    amber = "a"


class Cents(TypeDecorator[Decimal]):
    """Money as whole cents."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


class Guid(TypeDecorator[UUID]):
    """As the manual of SQLAlchemy shows it: native where it can be."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.UUID(as_uuid=True) if native else String(32))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else value.hex

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        return value if value is None or isinstance(value, UUID) else UUID(value)


@dataclass(frozen=True)
class Animal:
    name: str
    type: TypeEngine[Any]
    values: tuple[Any, ...]
    raw: tuple[str, ...] = ()  # in the server's own SQL, where Python has no such value


BERLIN = timezone(timedelta(hours=1))
GUID = UUID("12345678-1234-5678-1234-567812345678")
EVERYWHERE = [
    Animal("integer", Integer(), (0, -1, 2**31 - 1)),
    Animal("bigint", BigInteger(), (2**63 - 1, -(2**63))),
    Animal("boolean", Boolean(), (True, False)),
    Animal("float", Float(53), (1.1, -0.0, 1e-300, 1.7976931348623157e308)),
    Animal("string", String(50), ("", "a", "É", "😀", "tab\t'\"\\%_", "a ", "$1 :x {}")),
    Animal("text", Text(), ("x" * 10_000,)),
    Animal("date", Date(), (date(1000, 1, 1), date(9999, 12, 31), date(2024, 2, 29))),
    Animal("json", JSON(), ({"a": [1, 2.5, None, True, {"b": "é"}]}, [], "text", 1, False)),
    Animal("enum", Enum(Colour), (Colour.red, Colour.amber)),
    Animal("enum of names", Enum("x", "y", name="letters"), ("x", "y")),
    Animal("enum as a string", Enum(Colour, native_enum=False), (Colour.blue,)),
    Animal("uuid", Uuid(), (GUID,)),
    Animal("uuid as a string", Uuid(as_uuid=False), (str(GUID),)),
    Animal("bytes", LargeBinary(), (b"", b"\0\xff\x80", bytes(range(256)))),
    Animal("interval", Interval(), (timedelta(days=1, microseconds=1), timedelta(hours=30))),
    Animal("decorated money", Cents(), (Decimal("12.34"), Decimal("-0.01"))),
    Animal("decorated uuid", Guid(), (GUID,)),
]
EXACT = [
    Animal("numeric(10,2)", Numeric(10, 2), (Decimal("0.01"), Decimal("-99999999.99"))),
    Animal("numeric(38,10)", Numeric(38, 10), (Decimal("1234567890123456789012345678.0123456789"),)),
    Animal("numeric as float", Numeric(10, 2, asdecimal=False), (1.25, -3.5)),
]
MICROSECONDS = (datetime(2024, 2, 29, 23, 59, 59, 999999), datetime(1000, 1, 1))
AWARE = (datetime(2024, 2, 29, 23, 59, 59, 999999, BERLIN), datetime(1970, 1, 1, tzinfo=UTC))
ZOO = {
    "sqlite": [
        *EVERYWHERE,
        Animal("numeric(10,2)", Numeric(10, 2), (Decimal("0.01"), Decimal("-99999999.99"))),
        Animal("datetime", DateTime(), MICROSECONDS),
        Animal("datetime with time zone, which SQLite drops", DateTime(timezone=True), AWARE),
        Animal("time", Time(), (time(23, 59, 59, 999999), time())),
    ],
    "postgresql": [
        *EVERYWHERE,
        *EXACT,
        Animal("numeric", Numeric(), (Decimal("0.1"), Decimal("1E+20"), Decimal("0.000000000000001"))),
        Animal("float4", postgresql.REAL(), (1.5,), ("1.1",)),
        Animal("not a number", postgresql.DOUBLE_PRECISION(), (), ("'Infinity'", "'-Infinity'")),
        Animal("timestamp", DateTime(), MICROSECONDS),
        Animal("timestamptz", DateTime(timezone=True), AWARE),
        Animal("time", Time(), (time(23, 59, 59, 999999), time())),
        Animal("char(5)", postgresql.CHAR(5), ("ab",)),
        Animal("jsonb", postgresql.JSONB(), ({"a": [1, None]}, [1])),
        Animal("interval of months", postgresql.INTERVAL(), (), ("'1 month 2 days'", "'-1 hour'")),
        Animal("integers", postgresql.ARRAY(Integer), ([1, None, 3], [])),
        Animal("integers in two dimensions", postgresql.ARRAY(Integer, dimensions=2), ([[1, 2], [3, 4]],)),
        Animal("texts", postgresql.ARRAY(Text), (["a", "b'"],)),
    ],
    "mariadb": [
        *[each for each in EVERYWHERE if each.name != "float"],
        *EXACT,
        Animal("double", mysql.DOUBLE(), (1.1, 1e-300)),
        Animal("tinyint(1)", mysql.TINYINT(1), (2, 0, -128)),
        Animal("bigint unsigned", mysql.BIGINT(unsigned=True), (2**64 - 1, 0)),
        Animal("datetime", mysql.DATETIME(fsp=6), MICROSECONDS),
        Animal(
            "datetime with time zone, which MySQL drops", DateTime(timezone=True), (datetime(2024, 2, 29, 1, 2, 3),)
        ),
        Animal("zero date", DateTime(), (), ("'2024-01-01'",)),
        Animal("time", mysql.TIME(fsp=6), (time(23, 59, 59, 999999),)),
        Animal("year", mysql.YEAR(), (1999,)),
        Animal("enum of its own", mysql.ENUM("b", "a"), ("a", "b")),
        Animal("longtext", mysql.LONGTEXT(), ("é" * 1000,)),
        Animal("bytes of 16", mysql.BINARY(3), (b"\0\1\2",)),
    ],
}
# What DuckDB has no exact place for: it is carried as it is, and a computation with it is refused.
TOO_MUCH = {
    "sqlite": [],
    "postgresql": [
        Animal("numeric(50,5)", Numeric(50, 5), (Decimal("1" * 45 + ".12345"),)),
        Animal("numeric NaN", Numeric(), (Decimal("NaN"), Decimal("1.5"))),
        Animal("numerics of 50 digits together", Numeric(), (Decimal("1" * 30), Decimal("0." + "1" * 20))),
        Animal("timetz", Time(timezone=True), (), ("'12:00+02'",)),
        Animal("numerics", postgresql.ARRAY(Numeric), ([Decimal("1.10")],)),
        Animal("inet", postgresql.INET(), (), ("'10.0.0.1'", "'fe80::1'")),
        Animal("range", postgresql.INT4RANGE(), (), ("'[1,5)'",)),
    ],
    "mariadb": [
        Animal("decimal(65,10)", Numeric(65, 10), (Decimal("1" * 55 + ".0123456789"),)),
        Animal("set", mysql.SET("a", "b"), ({"a", "b"},)),
    ],
}
