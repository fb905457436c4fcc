"""MySQL's case-insensitive collations in DuckDB: the same rows as MariaDB gives, whatever is asked."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    URL,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import mysql

from manybase import UnsupportedStatement
from manybase.drivers import with_driver
from manybase.federation.duckdb import values
from manybase.federation.semantics import MYSQL
from tests.federation.staged import staged

pytestmark = pytest.mark.server

VALUES = ["a", "A", "a ", "á", "b", "É", "e  ", "E", "", None, "ab", "a b", "x%y", "x_y", "z\\"]
metadata = MetaData()
texts = Table(
    "texts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ci", String(20, collation="utf8mb4_general_ci")),
    Column("bin", String(20, collation="utf8mb4_nopad_bin")),
)
other = texts.alias()
ci, bin_ = texts.c.ci, texts.c.bin
ROWS = [(number, value, value) for number, value in enumerate(VALUES, 1)]
ids = select(texts.c.id).order_by(texts.c.id)
STATEMENTS = {
    "equal": ids.where(ci == "A"),
    "equal, padded": ids.where(ci == "a   "),
    "not equal": ids.where(ci != "A"),
    "in": ids.where(ci.in_(["A", "é"])),
    "not in": ids.where(ci.not_in(["A", "é"])),
    "in, padded": ids.where(ci.in_(["A  ", "é "])),
    "not in, padded": ids.where(ci.not_in(["A  ", "é "])),
    "less, padded": ids.where(ci < "B  "),
    "less or equal, padded": ids.where(ci <= "A  "),
    "greater, padded": ids.where(literal("A  ") < ci),
    "greater or equal, padded": ids.where(ci >= "B  "),
    "between, padded": ids.where(ci.between("A  ", "b ")),
    "not between, padded": ids.where(~ci.between("A  ", "b ")),
    "not distinct from, padded": ids.where(ci.is_not_distinct_from("A  ")),
    "binary less": ids.where(bin_ < "a "),
    "binary in": ids.where(bin_.in_(["a ", "b "])),
    "less": ids.where(ci < "B"),
    "between": ids.where(ci.between("A", "B")),
    "join": select(texts.c.id, other.c.id).join(other, ci == other.c.ci).order_by(texts.c.id, other.c.id),
    "in a subquery": ids.where(ci.in_(select(other.c.ci).where(other.c.id == 1))),
    "exists": ids.where(select(other.c.id).where(other.c.ci == ci, other.c.id < texts.c.id).exists()),
    "group by": select(func.count(), func.min(texts.c.id)).group_by(ci).order_by(func.min(texts.c.id)),
    "distinct": select(func.count()).select_from(select(ci).distinct().subquery()),
    "count distinct": select(func.count(ci.distinct())),
    "union": select(func.count()).select_from(select(ci).union(select(other.c.ci)).subquery()),
    "order by": select(texts.c.id).order_by(ci, texts.c.id),
    "partition by": select(texts.c.id, func.count().over(partition_by=ci)).order_by(texts.c.id),
    "like": ids.where(ci.like("A%")),
    "like, exactly": ids.where(ci.like("A")),
    "not like": ids.where(ci.not_like("A%")),
    "like, escaped": ids.where(ci.contains("%", autoescape=True)),
    "like, by the escape that is always there": ids.where(ci.like(r"x\_y")),
    "upper": ids.where(func.upper(ci) == "a"),
    "concatenated": ids.where(func.concat(ci, "x") == "AX"),
    "length": select(func.char_length(ci)).order_by(texts.c.id),
    "spelling": select(ci, bin_).order_by(texts.c.id),
    "spelling, concatenated": select(func.concat(ci, "|")).order_by(texts.c.id),
    "binary equal": ids.where(bin_ == "A"),
    "binary join": select(texts.c.id, other.c.id).join(other, bin_ == other.c.bin).order_by(texts.c.id, other.c.id),
    "binary group by": select(func.count(), func.min(texts.c.id)).group_by(bin_).order_by(func.min(texts.c.id)),
    "binary order by": select(texts.c.id).order_by(bin_, texts.c.id),
    "binary like": ids.where(bin_.like("a%")),
}


@pytest.fixture
def maria(mariadb_url: URL) -> Any:
    engine = create_engine(with_driver("home", mariadb_url, asyncio=False))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(texts), [dict(zip(texts.c.keys(), row, strict=True)) for row in ROWS])
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_same_rows(maria: Any) -> None:
    """Conditions, joins, grouping, order and spelling are those of MariaDB."""
    home = mysql.dialect()
    columns = [
        values.Column("id", Integer(), home),
        values.Column("ci", ci.type, home, collation="ci"),
        values.Column("bin", bin_.type, home, collation="bin"),
    ]
    expected, actual = {}, {}
    with staged({"texts": (columns, ROWS)}, semantics=MYSQL) as connection:
        for name, statement in STATEMENTS.items():
            expected[name] = [tuple(row) for row in maria.execute(statement)]
            actual[name] = [tuple(row) for row in connection.execute(statement)]

    assert expected == actual


def test_the_mark_itself() -> None:
    """A string that holds what stands for a space is refused, not changed."""
    columns = [values.Column("v", String(), mysql.dialect(), collation="ci")]
    with pytest.raises(UnsupportedStatement, match=r"holds U\+E01EF"):
        staged({"t": (columns, [("a\N{VARIATION SELECTOR-256}",)])})
