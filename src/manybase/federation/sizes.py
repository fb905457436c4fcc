"""Sizes: about how many bytes of memory rows take, as Python objects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

SAMPLE = 20
SLOT = 8  # of a list, which a row is in
GRAIN = 16  # what memory is handed out in


def estimated_size(rows: Sequence[tuple[Any, ...]]) -> int:
    """In bytes, from some of them."""
    if not rows:
        return 0
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    return sum(SLOT + size_of(row) for row in sample) * len(rows) // len(sample)


def size_of(value: Any) -> int:
    """With all that is in it: JSON and arrays are lists and dictionaries."""
    own = -(-sys.getsizeof(value) // GRAIN) * GRAIN
    if isinstance(value, (tuple, list, set, frozenset)):
        return own + sum(map(size_of, value))
    if isinstance(value, dict):
        return own + sum(map(size_of, value.keys())) + sum(map(size_of, value.values()))
    return own + (size_of(value.int) if isinstance(value, UUID) else 0)
