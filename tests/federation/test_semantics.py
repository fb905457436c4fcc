"""Which semantics hold, and that they are those of the servers."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, text

from manybase.drivers import with_driver
from manybase.federation.semantics import MYSQL, POSTGRESQL, SQLITE, Semantics, semantics_of

KINDS = [
    pytest.param("sqlite", SQLITE),
    pytest.param("postgresql", POSTGRESQL, marks=pytest.mark.server),
    pytest.param("mariadb", MYSQL, marks=pytest.mark.server),
]


@pytest.mark.parametrize(
    ("dialects", "expected"),
    [
        (["postgresql", "postgresql"], POSTGRESQL),
        (["mysql", "mariadb"], MYSQL),
        (["sqlite"], SQLITE),
        (["sqlite", "mysql"], POSTGRESQL),
        (["mysql", "postgresql"], POSTGRESQL),
        (["oracle"], POSTGRESQL),
        ([], POSTGRESQL),
    ],
)
def test_semantics_of(dialects: list[str], expected: Semantics) -> None:
    """One kind of server: its own. Mixed kinds, and others: PostgreSQL's."""
    assert expected is semantics_of(*dialects)


def asked(url: URL, greatest: str, log: str) -> dict[str, Any]:
    """What a server does, asked of the server itself."""
    engine = create_engine(with_driver("home", url, asyncio=False))

    def value(sql: str) -> Any:
        with engine.connect() as connection:
            return connection.scalar(text(sql))

    def error(sql: str) -> bool:
        try:
            value(sql)
        except Exception:
            return True
        return False

    quotient = value("SELECT 1.00 / 3")
    digits = "scale" if isinstance(quotient, Decimal) and quotient.as_tuple().exponent == -6 else "significant"
    found = {
        "nulls_first": value("SELECT x FROM (SELECT 1 AS x UNION ALL SELECT NULL) q ORDER BY x LIMIT 1") is None,
        "integer_division": "integer" if value("SELECT 7 / 2") == 3 else "decimal",
        "division_by_zero": "error" if error("SELECT 1 / 0") else "null",
        "quotient": "float" if isinstance(quotient, float) else digits,
        "like": "ascii" if value("SELECT 'a' LIKE 'A'") and not value("SELECT 'ä' LIKE 'Ä'") else "exact",
        "like_escape": "\\" if value("SELECT 'a_b' LIKE 'a\\_b'") in (1, True) else None,
        "greatest_skips_null": value(f"SELECT {greatest}(1, NULL)") == 1,
        "log_base": "e" if log and value(f"SELECT {log}(100)") > 3 else "10",
        "length": "bytes" if value("SELECT length('é')") == 2 else "characters",
        "sum_of_integers": {Decimal: "decimal", int: "integer"}[type(value("SELECT sum(x) FROM (SELECT 1 AS x) q"))],
    }
    if greatest == "greatest" or sqlite3.sqlite_version_info >= (3, 44):  # SQLite has had no concat() before
        found["concat_skips_null"] = value("SELECT concat('a', NULL)") == "a"
    engine.dispose()
    return found


@pytest.mark.parametrize(("backend", "semantics"), KINDS)
def test_the_server_itself(backend: str, semantics: Semantics, request: pytest.FixtureRequest) -> None:
    """Each field says what the server does."""
    if backend == "sqlite":
        found = asked(request.getfixturevalue("sqlite_url"), "max", "")
    else:
        found = asked(request.getfixturevalue(f"{backend}_url"), "greatest", "log")
    expected = {each.name: getattr(semantics, each.name) for each in fields(semantics) if each.name in found}
    if backend == "mariadb":
        expected["like"] = "exact" if found["like"] == "exact" else found["like"]  # by the collation: tested there
    if backend == "postgresql":
        expected["sum_of_integers"] = "integer"  # of 32 bits; of 64 bits it is a Decimal

    assert expected == found
