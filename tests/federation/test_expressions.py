"""Expressions: what a part of a statement refers to, and what it is where the columns of a table are NULL."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    URL,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    all_,
    and_,
    any_,
    bindparam,
    case,
    cast,
    create_engine,
    distinct,
    exists,
    extract,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    text,
    true,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from manybase.federation.expressions import (
    STRICT,
    are_same,
    binds,
    conjuncts,
    is_false_for_null,
    is_null_for_null,
    uses,
)

metadata = MetaData()
a, b = (
    Table(
        name,
        metadata,
        Column("id", Integer),
        Column("x", Integer),
        Column("name", String),
        Column("doc", JSON),
    )
    for name in ("a", "b")
)
other = a.alias()
of_b = select(b.c.id).where(b.c.x > 1)

USES: dict[str, tuple[Any, set[Any]]] = {
    "a column": (a.c.x, {a}),
    "columns of two tables": (a.c.x + b.c.x, {a, b}),
    "an alias is not its table": (other.c.x == 1, {other}),
    "a value": (literal(1), set()),
    "deep inside": (func.coalesce(case((a.c.x > 1, b.c.name), else_="x"), "y"), {a, b}),
    "a subquery": (a.c.id.in_(of_b), {a, b}),
    "what a subquery correlates to": (exists().where(b.c.id == other.c.id), {b, other}),
}


@pytest.mark.parametrize("case", USES)
def test_tables(case: str) -> None:
    """Those of all columns, at any depth."""
    clause, tables = USES[case]

    assert {hash(table) for table in tables} == uses(clause).tables


FLAGS: dict[str, tuple[Any, set[str]]] = {
    "nothing": (a.c.x == 1, set()),
    "text": (text("a.x = 1"), {"opaque"}),
    "a literal column": (literal_column("a.x"), {"opaque"}),
    "text beside columns": (and_(a.c.x == 1, text("a.x = 1")), {"opaque"}),
    "text in a subquery": (a.c.id.in_(select(b.c.id).where(text("b.x = 1"))), {"opaque", "subqueries"}),
    "a number as a literal column": (a.c.x == literal_column("1"), set()),
    "a string as a literal column": (a.c.x == literal_column("'it'"), set()),
    "two strings as a literal column": (literal_column("'a' || b.x || 'c'"), {"opaque"}),
    "count(*)": (func.count(), {"aggregates", "functions"}),
    "an aggregate": (func.sum(a.c.x) + 1, {"aggregates", "functions"}),
    "a function of one row": (func.lower(a.c.name), {"functions"}),
    "an aggregate in upper case": (func.SUM(a.c.x), {"aggregates", "functions"}),
    "a distinct aggregate": (func.count(distinct(a.c.x)), {"aggregates", "functions"}),
    "a filtered aggregate": (func.count(a.c.x).filter(a.c.x > 1), {"aggregates", "functions"}),
    "an ordered aggregate": (func.mode().within_group(a.c.x), {"aggregates", "functions"}),
    "an aggregate of a subquery is the subquery's": (
        a.c.x == select(func.max(b.c.x)).scalar_subquery(),
        {"functions", "subqueries"},
    ),
    "a window": (func.row_number().over(order_by=a.c.x), {"windows"}),
    "a window over an aggregate is none": (func.sum(a.c.x).over(), {"windows"}),
    "random()": (func.random() > a.c.x, {"functions", "volatile"}),
    "a subquery": (a.c.id.in_(of_b), {"subqueries"}),
}


@pytest.mark.parametrize("case", FLAGS)
def test_uses(case: str) -> None:
    """What forbids to compute it elsewhere, or before."""
    clause, expected = FLAGS[case]
    found = uses(clause)
    names = ("opaque", "aggregates", "windows", "volatile", "functions", "subqueries")

    assert expected == {name for name in names if getattr(found, name)}


def test_conjuncts() -> None:
    """AND at any depth, in parentheses too; OR stays together."""
    one, two, three = a.c.x == 1, a.c.x == 2, a.c.x == 3
    both = or_(two, three)

    assert [one, two, three] == list(conjuncts(and_(one, and_(two, three).self_group())))
    assert [one, both] == [each if each is one else both for each in conjuncts(and_(one, both))]
    assert 2 == len(list(conjuncts(and_(one, both))))
    assert [one] == list(conjuncts(one))
    assert [] == list(conjuncts(None))


NULLS: dict[str, tuple[Any, bool]] = {
    "a column": (b.c.x, True),
    "a column of another table": (a.c.x, False),
    "a value": (literal(1), False),
    "a comparison": (b.c.x == a.c.x, True),
    "arithmetic": (b.c.x * 2 + a.c.x, True),
    "concatenation": (b.c.name + "x", True),
    "LIKE": (b.c.name.like("x%"), True),
    "negation": (-b.c.x, True),
    "NOT": (not_(b.c.x == 1), True),
    "IS NULL": (b.c.x.is_(None), False),
    "IS NOT NULL": (b.c.x.is_not(None), False),
    "IS DISTINCT FROM": (b.c.x.is_distinct_from(1), False),
    "IN": (b.c.x.in_([1]), False),  # false where the list is empty
    "a cast": (cast(b.c.x, String), True),
    "a coerced type": (type_coerce(b.c.x, String), True),
    "a label": (b.c.x.label("y"), True),
    "extract()": (extract("year", b.c.x), True),
    "coalesce()": (func.coalesce(b.c.x, 1), False),
    "CASE": (case((b.c.x == 1, 1), else_=0), False),
    "a strict function": (func.lower(b.c.name), True),
    "a function nobody knows": (func.mine(b.c.name), False),
    "concat()": (func.concat(b.c.name, "x"), False),
    "OR of both tables": (or_(b.c.x == 1, a.c.x == 1), False),
    "OR of one table": (or_(b.c.x == 1, b.c.x == 2), True),
    "AND with something false": (and_(b.c.x == 1, a.c.x == 1), False),
    "EXISTS": (exists().where(b.c.x == 1), False),
    "an element of JSON": (b.c.doc["k"], True),
    "an element of JSON by a column": (a.c.doc[b.c.name], False),
    "count()": (func.count(b.c.x), False),
}


@pytest.mark.parametrize("case", NULLS)
def test_null_for_null(case: str) -> None:
    """Proven: everything else counts as possibly a value."""
    clause, expected = NULLS[case]

    assert expected is is_null_for_null(clause, [hash(b)])


FALSE: dict[str, tuple[Any, bool]] = {
    "a comparison": (b.c.x == 1, True),
    "a comparison in parentheses": ((b.c.x == 1).self_group(), True),
    "of the other table": (a.c.x == 1, False),
    "IS NULL": (b.c.x.is_(None), False),
    "IS NOT NULL": (b.c.x.is_not(None), True),
    "IS NOT a value": (b.c.x.is_not(true()), False),
    "IN": (b.c.x.in_([1, 2]), True),
    "NOT IN": (b.c.x.not_in([1, 2]), False),  # true where the list is empty
    "BETWEEN": (b.c.x.between(1, 2), True),
    "BETWEEN two columns": (literal(1).between(b.c.x, 2), False),
    "OR of both tables": (or_(b.c.x == 1, a.c.x == 1), False),
    "OR of one table": (or_(b.c.x == 1, b.c.x.is_not(None)), True),
    "OR with IS NULL": (or_(b.c.x == 1, b.c.x.is_(None)), False),
    "NOT": (not_(b.c.x == 1), True),
    "coalesce()": (func.coalesce(b.c.x, 1) == 1, False),
    "a constant": (false(), False),
    "EXISTS": (exists().where(b.c.x == 1), False),
}


@pytest.mark.parametrize("case", FALSE)
def test_false_for_null(case: str) -> None:
    """Such a condition above an outer join makes it an inner one."""
    clause, expected = FALSE[case]

    assert expected is is_false_for_null(clause, [hash(b)])


@pytest.mark.parametrize("quantifier", [all_, any_])
def test_quantifiers(quantifier: Any) -> None:
    """NULL compared with ALL or ANY of no rows is not NULL."""
    clause = b.c.x == quantifier(select(a.c.x).scalar_subquery())

    assert not is_null_for_null(clause, [hash(b)])


SAME: dict[str, tuple[Any, Any, bool]] = {
    "the same column": (a.c.x, a.c.x, True),
    "two columns": (a.c.x, a.c.id, False),
    "of a table and of its alias": (a.c.x, other.c.x, False),
    "written twice": (func.lower(a.c.name), func.lower(a.c.name), True),
    "two functions": (func.lower(a.c.name), func.upper(a.c.name), False),
    "two values, which may differ another time": (a.c.x + 1, a.c.x + 1, False),
    "one parameter": (a.c.x + bindparam("one", 1), a.c.x + bindparam("one", 1), True),
    "two parameters": (a.c.x + bindparam("one", 1), a.c.x + bindparam("two", 1), False),
    "NULL": (null(), null(), True),
}


@pytest.mark.parametrize("case", SAME)
def test_same(case: str) -> None:
    """The same in every execution of the statement."""
    first, second, expected = SAME[case]

    assert expected is are_same(first, second)


def test_binds() -> None:
    """All parameters, of subqueries too."""
    assert [1, 2] == sorted(each.value for each in binds(and_(a.c.x == 2, a.c.id.in_(of_b))))


# How functions are called whose arguments are not just strings: each with a NULL at every place that takes a column.
CALLS: dict[str, list[str]] = {
    "date": ["date({})"],
    "date_format": ["date_format({}, '%Y')", "date_format('2026-01-02', {})"],
    "date_part": ["date_part('year', {}::timestamp)"],
    "date_trunc": ["date_trunc('year', {}::timestamp)"],
    "extract": ["extract(year from CAST({} AS date))"],
    "json_extract": ["json_extract({}, '$.a')", "json_extract('{{\"a\": 1}}', {})"],
    "position": ["position({} in 'a')", "position('a' in {})"],
    "to_char": ["to_char({}::timestamp, 'YYYY')"],
    "substring": ["substring({}, 1)", "substring('a', {})"],
}
PLACES = ["{}({})", "{}({}, 1)", "{}(1, {})", "{}({}, 'a')", "{}('a', {})", "{}({}, 'a', 'b')", "{}('a', 'b', {})"]


def not_strict(run: Any) -> dict[str, Any]:
    """Calls with a NULL that a database answers with something else; those that it does not know are left out."""
    found: dict[str, Any] = {}
    for name in sorted(STRICT):
        calls = CALLS.get(name) or [place.replace("{}", name, 1) for place in PLACES]
        for call in calls:
            sql = f"SELECT {call.format('NULL')}"
            try:
                value = run(sql)
            except (sqlite3.Error, DBAPIError):
                continue
            if value is not None:
                found[sql] = value
    return found


def test_strict_functions_of_sqlite() -> None:
    """Each function that is said to give NULL for NULL does."""
    connection = sqlite3.connect(":memory:")

    found = not_strict(lambda sql: connection.execute(sql).fetchone()[0])
    connection.close()

    assert {} == found


DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}


@pytest.mark.server
@pytest.mark.parametrize("kind", DRIVERS)
def test_strict_functions_of_servers(kind: str, request: pytest.FixtureRequest) -> None:
    """The same on PostgreSQL and MariaDB."""
    url: URL = request.getfixturevalue(f"{kind}_url")
    engine = create_engine(url.set(drivername=DRIVERS[kind]), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = not_strict(lambda sql: connection.exec_driver_sql(sql.replace("%", "%%")).scalar_one())
    engine.dispose()

    assert {} == found
