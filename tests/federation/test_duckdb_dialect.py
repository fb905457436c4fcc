"""Statements in DuckDB's words: what they mean is what their databases mean by them."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    MetaData,
    Numeric,
    String,
    Table,
    any_,
    bindparam,
    case,
    cast,
    column,
    create_engine,
    extract,
    func,
    insert,
    lateral,
    literal,
    select,
    tuple_,
    values,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError

from manybase import UnsupportedStatement
from manybase.drivers import with_driver
from manybase.federation.duckdb import values as travel
from manybase.federation.duckdb.functions import BARE, KNOWN, SPELLED
from manybase.federation.semantics import MYSQL, POSTGRESQL, SQLITE, Semantics
from tests.federation.staged import staged

HOME = postgresql.dialect()
items = Table(
    "items",
    MetaData(),
    Column("id", Integer),
    Column("name", String),
    Column("price", Numeric(10, 2)),
    Column("big", BigInteger),
    Column("weight", Float),
    Column("sold", DateTime(timezone=True)),
    Column("day", Date),
    Column("took", Interval),
    Column("tags", postgresql.ARRAY(String)),
    Column("data", JSON),
)
NOON = datetime(2024, 2, 29, 12, 0, 1, 500_000, tzinfo=UTC)
HOUR = NOON.replace(minute=0, second=0, microsecond=0)
ROWS = [
    (
        1,
        "a",
        Decimal("1.00"),
        2**40,
        0.5,
        NOON,
        date(2024, 2, 29),
        timedelta(hours=30),
        ["x", "y"],
        {"k": [1, {"n": 2}]},
    ),
    (2, "B", Decimal("2.50"), 1, 2.5, None, None, None, [], {"k": "text"}),
    (3, None, None, None, None, None, None, None, None, None),
    (4, "a%b", Decimal("-7.00"), -5, -0.5, NOON, None, timedelta(0), ["z"], {}),
]
COLUMNS = [travel.Column(each.name, each.type, HOME) for each in items.c]
i = items.c
numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 4))
other = items.alias("other")


def first_of_each(expression: Any) -> Any:
    """DISTINCT ON, as both lines of SQLAlchemy spell it."""
    if hasattr(postgresql, "distinct_on"):
        return select(i.id).ext(postgresql.distinct_on(expression))
    return select(i.id).distinct(expression)


def rows(statement: Any, semantics: Semantics = POSTGRESQL, parameters: Any = None) -> list[Any]:
    with staged({"items": (COLUMNS, ROWS)}, semantics=semantics) as connection:
        return [tuple(row) for row in connection.execute(statement, parameters)]


def one(expression: Any, semantics: Semantics = POSTGRESQL) -> Any:
    """Its value for the first item."""
    return rows(select(expression).select_from(items).where(i.id == 1), semantics)[0][0]


def third(digits: int) -> Decimal:
    return Decimal(f"0.{'3' * digits}")


@pytest.mark.parametrize(
    ("expression", "in_postgresql", "in_mysql", "in_sqlite"),
    [
        (i.id / 3, third(20), third(4), third(10)),
        (literal(-7) // (i.id + 1), -3, -4, -3),
        (i.price / 3, third(20), third(6), third(2)),
        (literal(Decimal("1.5")) / 7, Decimal("0.21428571428571428571"), Decimal("0.21429"), Decimal("0.2142857143")),
        (i.weight / 2, 0.25, 0.25, 0.25),
        (i.id % 3, 1, 1, 1),
        (extract("year", i.sold), Decimal(2024), 2024, 2024),
        (extract("second", i.sold), Decimal("1.500000"), 1, 1),
        (extract("epoch", i.sold), Decimal("1709208001.500000"), 1709208001, 1709208001),
        (func.greatest(i.id, None), 1, None, None),
        (func.concat(i.name, None), "a", None, "a"),
        (func.length("é"), 1, 2, 1),
        (func.log(100), 2.0, 4.605170185988092, 2.0),
        (func.round(i.weight), 0.0, 0.0, 1.0),
        (i.name.like("A"), False, False, True),  # MySQL by the collation of the column, which has none here
        (i.sold, NOON, NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
        (func.date_trunc("hour", i.sold), HOUR, HOUR.replace(tzinfo=None), HOUR.replace(tzinfo=None)),
    ],
    ids=str,
)  # fmt: skip
def test_semantics(expression: Any, in_postgresql: Any, in_mysql: Any, in_sqlite: Any) -> None:
    """Values and types are those of the kind of server that all fragments live in."""
    found = [one(expression, each) for each in (POSTGRESQL, MYSQL, SQLITE)]

    assert [in_postgresql, in_mysql, in_sqlite] == found
    assert list(map(type, (in_postgresql, in_mysql, in_sqlite))) == list(map(type, found))


@pytest.mark.parametrize("quotient", [i.id / 0, i.id // 0, i.price / 0, i.weight / 0, i.id % 0], ids=str)
def test_division_by_zero(quotient: Any) -> None:
    """An error in PostgreSQL, NULL elsewhere."""
    assert [None, None] == [one(quotient, MYSQL), one(quotient, SQLITE)]
    with pytest.raises(DataError, match="division by zero"):
        one(quotient)


@pytest.mark.parametrize(
    ("order", "ascending"),
    [(lambda c: c, [2, 1, 4, 3]), (lambda c: c.desc(), [3, 4, 1, 2]), (lambda c: c.desc().nulls_last(), [4, 1, 2, 3])],
)
def test_order_of_null(order: Any, ascending: list[int]) -> None:
    """Last when ascending in PostgreSQL, first elsewhere; what the statement says wins."""
    statement = select(i.id).order_by(order(i.name))
    numbered = select(i.id).order_by(func.row_number().over(order_by=order(i.name)))
    said = "NULLS" in str(statement)
    elsewhere = ascending if said else sorted(ascending, key=lambda number: (number == 3) != (ascending[-1] == 3))

    for each in (statement, numbered):
        assert ascending == [number for (number,) in rows(each)]
        assert elsewhere == [number for (number,) in rows(each, MYSQL)] == [number for (number,) in rows(each, SQLITE)]


@pytest.mark.parametrize(
    ("aggregate", "in_postgresql", "in_mysql", "in_sqlite"),
    [
        (func.sum(i.id), 10, Decimal(10), 10),
        (func.sum(i.big), Decimal(2**40 - 4), Decimal(2**40 - 4), 2**40 - 4),
        (func.sum(i.price), Decimal("-3.50"), Decimal("-3.50"), Decimal("-3.50")),
        (func.avg(i.price), Decimal("-1.16666666666666666667"), Decimal("-1.166667"), -3.5 / 3),
        (func.avg(i.id), Decimal("2.5"), Decimal("2.5"), 2.5),
        (func.avg(i.id.distinct()), Decimal("2.5"), Decimal("2.5"), 2.5),
        (func.avg(i.id).filter(i.id > 2), Decimal("3.5"), Decimal("3.5"), 3.5),
        (func.avg(i.id).filter(i.id > 9), None, None, None),
        (func.sum(i.big).filter(i.id > 9), None, None, None),
        (func.avg(i.weight), 2.5 / 3, 2.5 / 3, 2.5 / 3),
        (func.count(), 4, 4, 4),
        (func.max(i.sold), NOON, NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
    ],
    ids=str,
)  # fmt: skip
def test_aggregates(aggregate: Any, in_postgresql: Any, in_mysql: Any, in_sqlite: Any) -> None:
    """Exact where their databases are exact."""
    found = [rows(select(aggregate).select_from(items), each)[0][0] for each in (POSTGRESQL, MYSQL, SQLITE)]

    assert [in_postgresql, in_mysql, in_sqlite] == found
    assert list(map(type, (in_postgresql, in_mysql, in_sqlite))) == list(map(type, found))


SHAPES: dict[str, tuple[Any, list[Any]]] = {
    "in": (select(i.id).where(i.id.in_([1, 2])), [(1,), (2,)]),
    "in nothing": (select(i.id).where(i.id.in_([])), []),
    "not in nothing": (select(func.count()).select_from(items).where(i.id.not_in([])), [(4,)]),
    "tuples in": (select(i.id).where(tuple_(i.id, i.name).in_([(1, "a"), (2, "x")])), [(1,)]),
    "any": (select(i.id).where(i.id == any_(literal([1, 4], postgresql.ARRAY(Integer)))).order_by(i.id), [(1,), (4,)]),
    "any tag": (select(i.id).where(literal("x") == any_(i.tags)), [(1,)]),
    "tags contain": (select(i.id).where(i.tags.contains(["x"])), [(1,)]),
    "tag": (select(i.tags[1]).where(i.id == 1), [("x",)]),
    "odd names": (select(i.id).where(i.id == bindparam("my-name x.y(1)", 1)), [(1,)]),
    "a percent sign": (select(i.id).where(i.name.contains("%", autoescape=True)), [(4,)]),
    "escaped as always": (select(i.id).where(i.name.like(r"a\%b")), [(4,)]),
    "ilike": (select(i.id).where(i.name.ilike("b")), [(2,)]),
    "regular expression": (select(i.id).where(i.name.regexp_match("[b]$")), [(4,)]),
    "regular expression, any case": (select(i.id).where(i.name.regexp_match("b", "i")).order_by(i.id), [(2,), (4,)]),
    "not regular expression": (select(i.id).where(~i.name.regexp_match("a")), [(2,)]),
    "regular expression, replaced": (select(i.name.regexp_replace("[a]", "x")).where(i.id == 4), [("x%b",)]),
    "operator of PostgreSQL": (select(i.id).where(i.name.op("~*")("A")).order_by(i.id), [(1,), (4,)]),
    "json": (select(i.data["k"][1]["n"].as_integer()).where(i.id == 1), [(2,)]),
    "json text": (select(i.id).where(i.data["k"].as_string() == "text"), [(2,)]),
    "json path": (select(i.data["k", 1]).where(i.id == 1), [({"n": 2},)]),
    "json object": (select(func.jsonb_build_object("a", i.id).cast(JSON)).where(i.id == 1), [({"a": 1},)]),
    "distinct on": (first_of_each(i.sold).where(i.sold.is_not(None)).order_by(i.sold, i.id), [(1,)]),
    "lateral": (
        select(i.id, lateral(select((i.id * 2).label("double")).correlate(items), name="l").c.double)
        .where(i.id < 3)
        .order_by(i.id),
        [(1, 2), (2, 4)],
    ),
    "values": (select(values(column("n", Integer), name="v").data([(1,), (2,)])).order_by("n"), [(1,), (2,)]),
    "recursive": (select(func.sum(numbers.c.n)), [(10,)]),
    "full join": (
        select(i.id, other.c.id)
        .outerjoin(other, other.c.id == i.id + 3, full=True)
        .order_by(i.id, other.c.id)
        .limit(2),
        [(1, 4), (2, None)],
    ),
    "rollup": (
        select(i.name, func.count()).where(i.id < 3).group_by(func.rollup(i.name)).order_by(i.name),
        [("B", 1), ("a", 1), (None, 2)],
    ),
    "cube": (
        select(func.count()).select_from(items).group_by(func.cube(i.id)).order_by(func.count().desc()).limit(1),
        [(4,)],
    ),
    "grouping sets": (
        select(func.count())
        .select_from(items)
        .group_by(func.grouping_sets(tuple_(i.id), tuple_()))
        .order_by(func.count().desc())
        .limit(1),
        [(4,)],
    ),
    "window": (
        select(i.id, func.sum(i.price).over(order_by=i.id, rows=(None, 0))).where(i.id < 3).order_by(i.id),
        [(1, Decimal("1.00")), (2, Decimal("3.50"))],
    ),
    "average over a window": (
        select(func.avg(i.id).over(partition_by=i.name)).where(i.id == 1),
        [(Decimal(1),)],
    ),
    "lag": (select(func.lag(i.id).over(order_by=i.id)).order_by(i.id).limit(2), [(None,), (1,)]),
    "percentile": (select(func.percentile_cont(0.5).within_group(i.weight)), [(0.5,)]),
    "aggregated strings": (select(func.aggregate_strings(i.name, ",")).where(i.id < 3), [("a,B",)]),
    "aggregated in order": (
        select(func.array_agg(postgresql.aggregate_order_by(i.id, i.id.desc()))),
        [([4, 3, 2, 1],)],
    ),
    "union": (select(i.id).where(i.id == 1).union(select(i.id).where(i.id == 1)), [(1,)]),
    "except": (select(i.id).where(i.id < 3).except_(select(i.id).where(i.id == 1)), [(2,)]),
    "case": (select(case((i.id == 1, "one"), else_="more")).where(i.id == 1), [("one",)]),
    "cast": (select(cast(i.price, Integer), cast(i.id, String), cast("1.5", Float)).where(i.id == 1), [(1, "1", 1.5)]),
    "is distinct from": (select(i.id).where(i.name.is_distinct_from("a")).order_by(i.id), [(2,), (3,), (4,)]),
    "exclusive or": (select(i.id.bitwise_xor(3)).where(i.id == 1), [(2,)]),
    "interval": (select(i.sold + timedelta(days=1)).where(i.id == 1), [(NOON + timedelta(days=1),)]),
    "interval of a column": (select(i.took).where(i.id == 1), [(timedelta(hours=30),)]),
    "a date": (select(i.day).where(i.day >= date(2024, 2, 29)), [(date(2024, 2, 29),)]),
    "an instant, in another zone": (
        select(i.id).where(i.sold == NOON.astimezone(timezone(timedelta(hours=-8)))).order_by(i.id),
        [(1,), (4,)],
    ),
    "now": (select(func.now() > i.sold, func.current_timestamp() > i.sold).where(i.id == 1), [(True, True)]),
    "coalesce": (select(func.coalesce(i.name, "none")).where(i.id == 3), [("none",)]),
    "collate": (select(i.id).where(i.name.collate("C") == "a"), [(1,)]),
    "exists": (select(i.id).where(select(other.c.id).where(other.c.id == i.id + 3).exists()), [(1,)]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    """What PostgreSQL can say, DuckDB is told in its own words."""
    statement, expected = SHAPES[shape]

    assert expected == rows(statement)


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        (func.to_char(i.sold, "YYYY"), r"Function to_char\(\)"),
        (func.public.mine(i.id), r"Function mine\(\)"),
        (func.pg_sleep(1), r"Function pg_sleep\(\)"),
        (func.similarity(i.name, "a"), r"Function similarity\(\)"),
        (i.name.match("a"), r"match\(\)"),
        (i.data.op("@>")("{}"), "Operator @>"),
        (i.name.op("@@")("a"), "Operator @@"),
        (i.name.collate("de_DE"), "Collation de_DE"),
        (extract("no such", i.sold), "extract"),
    ],
    ids=str,
)
def test_unsupported(expression: Any, part: str) -> None:
    """It is refused by name when the statement is compiled, with the way round."""
    with staged({}) as connection, pytest.raises(UnsupportedStatement, match=f"^{part}.* [Ii]n Python|{part}.*Python"):
        select(expression).compile(dialect=connection.dialect)


def test_names_of_functions() -> None:
    """Those that are passed on are known to the DuckDB that is installed."""
    special = {"coalesce", "cast", "try_cast", "trim", "grouping", "cube", "rollup", "grouping_sets", "if"}
    special |= {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"}
    special |= {"first_value", "last_value", "nth_value", "percentile_cont", "percentile_disc", "now", "localtimestamp"}
    with staged({}) as connection:
        has = {name for (name,) in connection.exec_driver_sql("SELECT function_name FROM duckdb_functions()")}

    assert set() == {*KNOWN, *SPELLED.values(), *BARE} - has - special


def test_the_statement_cache() -> None:
    """A statement is compiled once, and gets new values."""
    with staged({"items": (COLUMNS, ROWS)}) as connection:
        found = [connection.scalars(select(i.id).where(i.id.in_(each))).all() for each in ([1], [2, 4], [])]

        assert [[1], [2, 4], []] == found
        assert 1 == len(connection.engine._compiled_cache or ())


def test_transactions() -> None:
    """They do nothing, in either way."""
    with staged({"items": (COLUMNS, ROWS)}) as connection:
        with connection.begin(), connection.begin_nested():
            assert 4 == connection.scalar(select(func.count()).select_from(items))
        with connection.begin() as transaction:
            transaction.rollback()
        with connection.begin_twophase() as transaction:
            transaction.prepare()


def test_quotients(postgresql_url: URL, mariadb_url: URL) -> None:
    """Quotients and averages of exact numbers have the digits that PostgreSQL and MariaDB give them."""
    chance = random.Random(7)
    pairs = [exact_pair(chance) for _ in range(300)]
    numbers = Table(
        "numbers", MetaData(), Column("id", Integer), Column("a", Numeric(20, 6)), Column("b", Numeric(9, 3))
    )
    given = [(number, a, b) for number, (a, b) in enumerate(pairs)]
    columns = [travel.Column(each.name, each.type, HOME) for each in numbers.c]
    grouped = select(numbers, (numbers.c.id % 17).label("g")).subquery()
    statements = [
        select(numbers.c.a / numbers.c.b, numbers.c.id / numbers.c.b, numbers.c.a / 7).order_by(numbers.c.id),
        select(func.avg(grouped.c.a), func.avg(grouped.c.id)).group_by(grouped.c.g).order_by(grouped.c.g),
    ]
    for url, semantics in ((postgresql_url, POSTGRESQL), (mariadb_url, MYSQL)):
        engine = create_engine(with_driver("home", url, asyncio=False))
        numbers.create(engine)
        with engine.begin() as home, staged({"numbers": (columns, given)}, semantics=semantics) as here:
            home.execute(insert(numbers), [dict(zip(("id", "a", "b"), each, strict=True)) for each in given])
            for statement in statements:
                assert [tuple(row) for row in home.execute(statement)] == [
                    tuple(row) for row in here.execute(statement)
                ]
        engine.dispose()


def exact_pair(chance: random.Random) -> tuple[Decimal, Decimal]:
    a, b = chance.randrange(-(10 ** chance.randrange(1, 16)), 10**12), chance.randrange(1, 10 ** chance.randrange(1, 9))
    return Decimal(a).scaleb(-6), Decimal(b).scaleb(-3) * chance.choice([1, -1])
