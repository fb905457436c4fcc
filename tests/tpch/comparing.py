"""When two answers to a query are the same."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from tests.tpch.queries.query import Query

Rows = Sequence[Sequence[Any]]
SHOWN = 3
FEWEST, MOST = 4, 10
"""Digits after the point: those that a quotient has at least, and those that are compared."""


def differences(query: Query, expected: Rows, actual: Rows) -> list[str]:
    """How two answers differ in values, types or order, in a few lines; nothing if they are the same."""
    if len(expected) != len(actual):
        return [f"{len(actual)} rows, expected {len(expected)}"]
    pairs = zip(_arranged(query, expected), _arranged(query, actual), strict=True)
    found = [
        f"row {number}: {tuple(actual_row)!r}, expected {tuple(expected_row)!r}"
        for number, (expected_row, actual_row) in enumerate(pairs, 1)
        if not _same_row(query, expected_row, actual_row)
    ]
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more"]


def _arranged(query: Query, rows: Rows) -> Iterator[Sequence[Any]]:
    """As they come, and those that tie in a settled order."""
    if not query.order:
        yield from rows
        return
    for _, tied in groupby(rows, key=lambda row: [row[column] for column in query.order]):
        yield from sorted(tied, key=str)


def _same_row(query: Query, expected: Sequence[Any], actual: Sequence[Any]) -> bool:
    return len(expected) == len(actual) and all(
        type(first) is type(second)
        and (_same_quotient(first, second) if column in query.quotients else first == second)
        for column, (first, second) in enumerate(zip(expected, actual, strict=True))
    )


def _same_quotient(expected: Decimal | None, actual: Decimal | None) -> bool:
    """They agree in every digit that both have; the last may be rounded."""
    if expected is None or actual is None:
        return expected is actual
    return abs(expected - actual) <= Decimal(1).scaleb(-min(_digits(expected), _digits(actual)))


def _digits(number: Decimal) -> int:
    """After the point. A number that ends early has not been rounded: all its digits count."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return min(-exponent, MOST) if -exponent >= FEWEST else MOST
