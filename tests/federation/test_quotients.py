"""Quotients: as many digits as the databases give, checked against them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import URL, create_engine

from manybase.federation.python.quotients import scaled, significant

PAIRS = [
    ("1", "3"),
    ("2", "3"),
    ("10", "3"),
    ("1", "7"),
    ("-1", "3"),
    ("1", "-3"),
    ("0", "7"),
    ("0.00", "7"),
    ("7", "7"),
    ("1.00", "4"),
    ("1", "4.000"),
    ("22", "7.0"),
    ("9999", "9998"),
    ("9998", "9999"),
    ("9999", "10000"),
    ("10000", "9999"),
    ("10000", "3"),
    ("99999999", "3"),
    ("100000000", "3"),
    ("123456789012345678", "7"),
    ("1", "123456789012345678"),
    ("1", "99999999999999999999999"),
    ("0.0001", "3"),
    ("0.00001", "3"),
    ("0.1", "0.3"),
    ("0.10000", "0.00003"),
    ("1", "0.00007"),
    ("12345.6789", "0.0123"),
    ("1.23456789012345678901", "3"),
    ("3", "1.23456789012345678901"),
    ("1000000000000000000000000000000", "7"),
    ("7", "1000000000000000000000000000000"),
    ("2", "1.5"),
    ("5000", "5000"),
    ("5000", "5001"),
    ("50000000", "50010000"),
    ("0.5", "0.00000000000000000000000000000000000003"),
    ("1e-30", "3"),
    ("3", "1e-30"),
    ("99999999999999999999.99", "0.01"),
]


def number(text: str) -> Decimal:
    return Decimal(format(Decimal(text), "f"))


@pytest.mark.server
def test_postgresql(postgresql_url: URL) -> None:
    """numeric / numeric: the same value with the same number of digits."""
    engine = create_engine(postgresql_url.set(drivername="postgresql+psycopg"))
    pairs = [(number(one), number(two)) for one, two in PAIRS]
    with engine.connect() as connection:
        theirs = [
            connection.exec_driver_sql(f"SELECT {one:f}::numeric / {two:f}::numeric").scalar_one() for one, two in pairs
        ]
    engine.dispose()

    assert [f"{each:f}" for each in theirs] == [f"{significant(one, two):f}" for one, two in pairs]


@pytest.mark.server
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("NaN", "1"),
        ("1", "NaN"),
        ("NaN", "Infinity"),
        ("Infinity", "2"),
        ("-Infinity", "2"),
        ("1", "Infinity"),
    ],
)
def test_postgresql_beyond_numbers(postgresql_url: URL, one: str, two: str) -> None:
    """NaN stays what it is, infinity too, and a number divided by infinity is zero."""
    engine = create_engine(postgresql_url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        theirs = connection.exec_driver_sql(f"SELECT '{one}'::numeric / '{two}'::numeric").scalar_one()
    engine.dispose()

    assert str(theirs) == str(significant(Decimal(one), Decimal(two)))


@pytest.mark.server
def test_mariadb(mariadb_url: URL) -> None:
    """decimal / decimal: four digits more than the dividend has; as far as a DECIMAL goes."""
    pairs = [
        (number(one), number(two)) for one, two in PAIRS if len(one) < 15 and len(two) < 15 and "e" not in one + two
    ]
    engine = create_engine(mariadb_url.set(drivername="mysql+pymysql"))
    with engine.connect() as connection:
        theirs = [connection.exec_driver_sql(f"SELECT {one:f} / {two:f}").scalar_one() for one, two in pairs]
    engine.dispose()

    assert [str(each) for each in theirs] == [f"{scaled(one, two):f}" for one, two in pairs]
