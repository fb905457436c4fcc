"""Keys: how the values of one fragment are sent to the database of another, and which never are."""

from __future__ import annotations

import datetime
import subprocess
import sys
import uuid
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    create_engine,
    insert,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

from manybase.federation.keys import LISTED, sending, usable


class Colour(StrEnum):
    RED = "red"


class Shouted(TypeDecorator[str]):
    impl = String
    cache_ok = True


DAY, MOMENT = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5)
NAME = uuid.UUID(int=7)


def column(type_: TypeEngine[Any]) -> Column[Any]:
    return Table("t", MetaData(), Column("k", type_)).c.k


USABLE: dict[str, tuple[TypeEngine[Any], list[Any], list[Any] | None]] = {
    "integers": (Integer(), [1, -2], [1, -2]),
    "integers beyond 64 bits, which no column holds": (BigInteger(), [2**63, -(2**63), 5, -(2**63) - 1], [-(2**63), 5]),
    "truth as integers": (Integer(), [True, False], [1, 0]),
    "strings for an integer": (Integer(), ["1"], None),
    "strings": (String(), ["a", "ä", ""], ["a", "ä", ""]),
    "strings with what no server takes": (Text(), ["a\0b", "a"], ["a"]),
    "integers for a string": (String(), ["a", 1], None),
    "an enum for a string": (String(), [Colour.RED], None),
    "strings with a collation": (String(collation="nocase"), ["a"], None),
    "UUIDs": (Uuid(), [NAME], [NAME]),
    "UUIDs as strings": (Uuid(as_uuid=False), [str(NAME)], None),
    "days": (Date(), [DAY], [DAY]),
    "moments for days": (Date(), [MOMENT], None),
    "moments": (DateTime(), [MOMENT], [MOMENT]),
    "days for moments": (DateTime(), [DAY], None),
    "moments with a time zone": (DateTime(timezone=True), [MOMENT], None),
    "exact numbers": (Numeric(10, 2), [Decimal("1.50")], [Decimal("1.50")]),
    "integers for exact numbers": (Numeric(10, 2), [1], None),
    "floats": (Float(), [1.5], None),
    "bytes": (LargeBinary(), [b"a"], None),
    "an enum": (Enum(Colour), [Colour.RED], None),
    "a type of the user's own": (Shouted(), ["a"], None),
    "none": (Integer(), [], []),
}


@pytest.mark.parametrize("case", USABLE)
def test_usable(case: str) -> None:
    """Those that such a column may equal; None where nobody can tell, and all rows must come."""
    type_, keys, expected = USABLE[case]

    assert expected == usable(keys, column(type_))


NUMBERS = """
from decimal import Decimal
from sqlalchemy import Column, Integer
from manybase.federation.keys import usable
whole = [Decimal("2"), 3.0, Decimal("-4.00")]
others = [Decimal("1.5"), 2.5, Decimal("NaN"), float("nan"), float("inf"), Decimal("-Infinity"), 1e300]
assert [2, 3, -4] == [key for key in usable([*whole, *others], Column("k", Integer)) if key not in (1, 2.5)]
"""


def test_numbers_for_an_integer() -> None:
    """Exact numbers and floats equal an integer where they are whole; that is told at once."""
    subprocess.run([sys.executable, "-c", NUMBERS], check=True, timeout=10)


DIALECTS = [postgresql.dialect(), mysql.dialect(), sqlite.dialect()]


@pytest.mark.parametrize("type_", [Integer(), String(), Uuid(), Date(), DateTime(), Numeric(8, 2)], ids=str)
@pytest.mark.parametrize(
    "dialect", [postgresql.dialect(), mysql.dialect(), sqlite.dialect()], ids=lambda each: each.name
)
def test_one_parameter(dialect: Any, type_: TypeEngine[Any]) -> None:
    """Whatever their number, the statement is the same: it is compiled once."""
    sent = sending(dialect, column(type_), "keys_0")
    assert sent is not None
    statement = select(sent.condition).compile(dialect=dialect)

    assert ["keys_0"] == list(statement.params)


@pytest.mark.parametrize("type_", [Float(), LargeBinary(), Enum(Colour), Shouted(), String(collation="x")], ids=repr)
def test_types_whose_keys_are_not_sent(type_: TypeEngine[Any]) -> None:
    """Equality there may not be equality here."""
    assert sending(postgresql.dialect(), column(type_), "keys_0") is None


def test_how_many() -> None:
    """A list of parameters is bounded; an array or a JSON text is not."""
    most = {
        dialect.name: sent.most if (sent := sending(dialect, column(Integer()), "k")) else None for dialect in DIALECTS
    }

    assert {"postgresql": 10_000_000, "mysql": LISTED, "sqlite": 10_000_000} == most


VALUES: list[tuple[TypeEngine[Any], list[Any]]] = [
    (Integer(), [1, -5, 2**62, 2**63 - 1]),
    (String(50), ["a", "ä", "", "o'neill", '"', "\\", "a\nb", "\u2028", "😀"]),
    (Uuid(), [NAME]),
    (Date(), [DAY]),
    (DateTime(), [MOMENT, MOMENT.replace(microsecond=123_456)]),
    (Numeric(10, 2), [Decimal("1.50"), Decimal("-0.01")]),
]


@pytest.mark.filterwarnings("ignore:Dialect sqlite.* does .*not.* support Decimal")
@pytest.mark.parametrize(
    ("type_", "values"), VALUES, ids=lambda each: str(each) if isinstance(each, TypeEngine) else ""
)
def test_round_trip(type_: TypeEngine[Any], values: list[Any]) -> None:
    """Every value finds its own row, and no other."""
    table = Table("t", MetaData(), Column("n", Integer, primary_key=True), Column("k", type_))
    engine = create_engine("sqlite://")
    sent = sending(engine.dialect, table.c.k, "keys_0")
    assert sent is not None
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), [{"n": number, "k": value} for number, value in enumerate(values)])
        statement = select(table.c.n).where(sent.condition)
        for number, value in enumerate(values):
            assert [number] == list(connection.scalars(statement, {"keys_0": sent.pack([value])}))
        assert len(values) == len(connection.execute(statement, {"keys_0": sent.pack(values)}).all())
        assert [] == list(connection.scalars(statement, {"keys_0": sent.pack([])}))
    engine.dispose()
