"""The judge of the answers: it sees what differs, and nothing else."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from tests.tpch.comparing import Rows, differences
from tests.tpch.queries.query import Query


def query(**may_differ: Any) -> Query:
    return Query(number=0, make=lambda: select(), at_home=True, **may_differ)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([(1, "a")], []),
        ([(1, "a")], [(1, "b")]),
        ([(1, "a")], [(1,)]),
        ([(1,)], [(Decimal(1),)]),
        ([(Decimal("0.1"),)], [(0.1,)]),
        ([(None,)], [(0,)]),
        ([(1,), (2,)], [(2,), (1,)]),
    ],
)
def test_what_differs_is_seen(expected: Rows, actual: Rows) -> None:
    """Rows, values, types and order."""
    assert differences(query(), expected, actual)
    assert [] == differences(query(), expected, expected)


def test_rows_that_tie_come_in_any_order() -> None:
    """But not those that do not."""
    by_last = query(order=(1,))

    assert [] == differences(by_last, [("a", 2), ("b", 2), ("c", 1)], [("b", 2), ("a", 2), ("c", 1)])
    assert differences(by_last, [("a", 2), ("b", 2), ("c", 1)], [("c", 1), ("a", 2), ("b", 2)])


@pytest.mark.parametrize(
    ("actual", "same"),
    [("0.333333333333", True), ("0.3333", True), ("0.3334", True), ("0.33", False), ("0.333332", False)],
)
def test_quotients_agree_in_the_digits_that_both_have(actual: str, same: bool) -> None:
    """At least four of them, and only in columns that are quotients."""
    expected, found = [(Decimal("0.3333333333333333"),)], [(Decimal(actual),)]

    assert same == (not differences(query(quotients=frozenset({0})), expected, found))
    assert differences(query(), expected, found)
