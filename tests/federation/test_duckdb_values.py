"""How values travel through DuckDB: what comes back is what their database gave."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    URL,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import NullType, TypeEngine

from manybase import UnsupportedStatement
from manybase.drivers import with_driver
from manybase.federation.duckdb.interning import Interned
from manybase.federation.duckdb.values import Column, given_type
from manybase.federation.semantics import semantics_of
from tests.federation.staged import staged
from tests.federation.zoo import TOO_MUCH, ZOO, Animal

HOMES = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect(), "mariadb": mysql.dialect()}
BACKENDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]


@pytest.fixture
def given(request: pytest.FixtureRequest, backend: str) -> Any:
    """What the database gives for an animal, through SQLAlchemy."""
    url: URL = request.getfixturevalue(f"{backend}_url")
    engine = create_engine(with_driver("home", url, asyncio=False))

    def ask(number: int, animal: Animal) -> list[Any]:
        table = Table(f"t{number}", MetaData(), SqlColumn("id", Integer, primary_key=True), SqlColumn("v", animal.type))
        with engine.begin() as connection:
            table.create(connection)
            for value in (*animal.values, None):
                connection.execute(insert(table).values(v=value))
            for sql in animal.raw:
                connection.execute(text(f"INSERT INTO {table.name} (v) VALUES ({sql})"))
            return [value for (value,) in connection.execute(select(table.c.v).order_by(table.c.id))]

    yield ask
    engine.dispose()


def back(home: str, type_: TypeEngine[Any], values: list[Any], **options: Any) -> list[Any]:
    """The same values, out of DuckDB again."""
    table = Table("t", MetaData(), SqlColumn("id", Integer), SqlColumn("v", type_))
    carried = options.get("carried") or options.get("compared")
    shown = table.c.v if not carried else text("v")  # codes have no type that SQLAlchemy could process
    columns = [Column("id", Integer(), HOMES[home]), Column("v", type_, HOMES[home], **options)]
    statement = select(shown).select_from(table).order_by(table.c.id)
    tables = {"t": (columns, list(enumerate(values)))}
    semantics = semantics_of(HOMES[home].name)
    with staged(tables, semantics=semantics, carried=(0,) if carried else ()) as connection:
        return [value for (value,) in connection.execute(statement)]


def differences(expected: list[Any], actual: list[Any]) -> list[tuple[Any, Any]]:
    """Neither equal values of different types nor different values are the same."""
    pairs = list(zip(expected, actual, strict=True))
    return [(one, other) for one, other in pairs if one != other or type(one) is not type(other)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_carried(backend: str, given: Any) -> None:
    """What is only carried through is the very object that its database gave, whatever it is."""
    for number, animal in enumerate([*ZOO[backend], *TOO_MUCH[backend]]):
        values = given(number, animal)
        again = back(backend, animal.type, values, carried=True)

        assert all(one is other for one, other in zip(values, again, strict=True)), animal.name


@pytest.mark.parametrize("backend", BACKENDS)
def test_computed(backend: str, given: Any) -> None:
    """What is computed with is stored exactly, and comes back with the value and type that its database gave."""
    found: dict[str, list[Any]] = {}
    for number, animal in enumerate(ZOO[backend]):
        values = given(number, animal)
        try:
            found[animal.name] = differences(values, back(backend, animal.type, values))
        except (UnsupportedStatement, SQLAlchemyError) as error:
            found[animal.name] = [str(error)]

    assert {animal.name: [] for animal in ZOO[backend]} == found


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_much_for_duckdb(backend: str, given: Any) -> None:
    """Values that it cannot hold exactly are refused, and never become a float."""
    for number, animal in enumerate(TOO_MUCH[backend]):
        values = given(number, animal)
        with pytest.raises(UnsupportedStatement, match=r"Column 'v'"):
            back(backend, animal.type, values)


class Hashed(TypeDecorator[str]):
    """What goes in does not come out."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and f"#{value}"


class Invertible(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value[::-1]

    process_result_value = process_bind_param


def test_type_decorator_that_is_not_invertible() -> None:
    """A computation would see another value than its database does; the error names the column."""
    assert ["x"] == back("sqlite", Hashed(), ["x"], carried=True)
    with pytest.raises(UnsupportedStatement, match=r"Column 'v'.*Hashed is not invertible"):
        back("sqlite", Hashed(), ["x"])


def test_type_decorator_that_is_invertible() -> None:
    """Conditions on it compare what the database stores."""
    table = Table("t", MetaData(), SqlColumn("v", Invertible()))
    tables = {"t": ([Column("v", Invertible(), HOMES["sqlite"])], [("ab",), ("cd",)])}
    with staged(tables) as connection:
        assert ["ab"] == connection.scalars(select(table.c.v).where(table.c.v == "ab")).all()


def test_aware_datetime() -> None:
    """The same instant, aware where its database says so and naive where it does not."""
    value = datetime(2024, 6, 1, 12, tzinfo=UTC)

    assert [value] == back("postgresql", DateTime(timezone=True), [value])
    assert [value.replace(tzinfo=None)] == back("sqlite", DateTime(timezone=True), [value.replace(tzinfo=None)])


def test_type_that_a_home_gives() -> None:
    """A column with a time zone that is none in its database; other types are what they are."""
    declared = DateTime(timezone=True)

    assert declared is given_type(declared, HOMES["postgresql"])
    assert [False, False] == [given_type(declared, HOMES[home]).timezone for home in ("mariadb", "sqlite")]
    assert isinstance(given_type(Integer(), HOMES["sqlite"]), Integer)


def test_sort_order_of_an_enum() -> None:
    """A server sorts it as it was declared, SQLite as the string it stores."""
    type_ = Enum("small", "large", name="size")
    table = Table("t", MetaData(), SqlColumn("v", type_))

    def ordered(home: str) -> list[str]:
        with staged({"t": ([Column("v", type_, HOMES[home])], [("large",), ("small",)])}) as connection:
            return list(connection.scalars(select(table.c.v).order_by(table.c.v)))

    assert ["small", "large"] == ordered("postgresql") == ordered("mariadb")
    assert ["large", "small"] == ordered("sqlite")


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (BigInteger(), [1] * 10_000 + [2**64, -(2**127)]),
        (Numeric(), [Decimal("1.5")] * 10_000 + [Decimal("0.123456789"), Decimal("1E+20")]),
        (NullType(), [None] * 10_000 + [1]),
        (NullType(), [None] * 10_000 + ["x"]),
        (String(), ["a"] * 10_000 + ["b "]),
    ],
    ids=["integers", "decimals", "unknown", "unknown text", "strings"],
)
def test_values_that_need_more_room_than_the_first_ones(type_: TypeEngine[Any], values: list[Any]) -> None:
    """The table becomes wider while it is loaded."""
    assert values == back("postgresql", type_, values)


@pytest.mark.parametrize(
    ("type_", "values", "why"),
    [
        (Integer(), [1.5], "BIGINT cannot hold its values of float"),
        (Integer(), ["1"], "cannot hold its values of str"),
        (BigInteger(), [2**127], "more than 128 bits"),
        (Numeric(), [Decimal("NaN")], "NaN has no place"),
        (Numeric(), [Decimal("-Infinity")], "no place"),
        (Numeric(), [Decimal("1E+38")], "39 digits"),
        (String(), ["\ud800"], "not valid Unicode"),
        (DateTime(), ["2024-01-01"], "cannot hold its values of str"),
        (NullType(), [object()], "nothing is known of values of object"),
        (NullType(), [1, "x"], "cannot hold its values of str"),
    ],
)
def test_values_that_do_not_fit(type_: TypeEngine[Any], values: list[Any], why: str) -> None:
    """No rounding and no guessing; carried through they come back as they are."""
    assert values[0] is back("sqlite", type_, values, carried=True)[0]
    with pytest.raises(UnsupportedStatement, match=why):
        back("sqlite", type_, values)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (Decimal("1.0"), Decimal("1.00"), True),
        (Decimal("NaN"), float("nan"), True),
        (True, 1, False),
        ("a", "A", False),
        ("a", "a ", False),
        ({"a": [1, 2]}, {"a": [1.0, 2]}, True),
        ({"a": True}, {"a": 1}, False),
        ([1, [2]], [1, [2]], True),
        (b"a", bytearray(b"a"), True),
        (datetime(2024, 1, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, 12), False),
    ],
)
def test_compared(one: Any, other: Any, same: bool) -> None:
    """Equal codes for what databases call equal, across types; NULL has none."""
    interned = Interned()
    first, second, nothing = interned.compare([one, other, None], collation=None, part="it")

    assert [same, None] == [first == second, nothing]


def test_compared_by_a_collation() -> None:
    """As MySQL compares: the first spelling stands for all."""
    values = ["Straße", "STRAßE ", "é", "E", "e  ", None, "x"]

    assert ["Straße", "Straße", "é", "é", "é", None, "x"] == back(
        "mariadb", String(), values, compared=True, collation="ci"
    )
    assert values == back("mariadb", String(), values, compared=True, collation="bin")


def test_not_comparable() -> None:
    """It is refused, and the column is named."""
    with pytest.raises(UnsupportedStatement, match=r"Column 'v'.*not comparable"):
        back("sqlite", NullType(), [{1, 2}], compared=True)
