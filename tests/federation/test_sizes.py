"""The size of rows, against what they really take."""

import datetime
import decimal
import json
import tracemalloc
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from manybase.federation.sizes import estimated_size

COUNT = 5_000
ROWS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "numbers and text": lambda number: (number + 1_000, f"the name of {number}", number / 7),
    "JSON": lambda number: (json.loads(f'{{"kind": "kind {number}", "tags": ["tag {number}", {number}.5]}}'),),
    "UUIDs": lambda number: (uuid.UUID(int=2**100 + number),),
    "moments and decimals": lambda number: (datetime.datetime(2026, 1, 1, 1, 1, number % 60), decimal.Decimal(number)),
    "arrays": lambda number: ([number + 1_000 + each for each in range(20)],),
}


@pytest.mark.parametrize("kind", ROWS)
def test_estimated_size(kind: str) -> None:
    """Not far from the memory that was taken: neither too low nor much too high."""
    tracemalloc.start()
    rows = [ROWS[kind](number) for number in range(COUNT)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 0.85 < estimated_size(rows) / taken < 1.3


def test_no_rows() -> None:
    assert 0 == estimated_size([])
