"""The validation answers of TPC's toolkit: files ``q1.out`` to ``q22.out``, for scale 1. They are not kept here."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.tpch.answers import typed
from tests.tpch.comparing import Rows
from tests.tpch.queries.query import Query

NEAR = Decimal("0.0051")
"""Numbers are given with two decimals. (TPC itself allows more: 100 for sums, one per cent for averages and ratios.)"""


def differences_from_official(query: Query, folder: Path, rows: Rows) -> list[str]:
    """How rows differ from TPC's: the first row that does."""
    _, *official = [_cells(line) for line in (folder / f"q{query.number}.out").read_text().splitlines() if line.strip()]
    if len(official) != len(rows):
        return [f"{len(rows)} rows, TPC has {len(official)}"]
    for theirs, ours in zip(official, rows, strict=True):
        if not _same(typed(theirs, ours), ours):
            return [f"{tuple(ours)!r}, TPC has {theirs}"]
    return []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.rstrip().removesuffix("|").split("|")]


def _same(official: Sequence[Any], ours: Sequence[Any]) -> bool:
    return all(
        abs(theirs - cell) <= NEAR if isinstance(cell, Decimal) else theirs == _stripped(cell)
        for theirs, cell in zip(official, ours, strict=True)
    )


def _stripped(cell: Any) -> Any:
    """Texts without the blanks that columns of fixed width are filled with."""
    return cell.strip() if isinstance(cell, str) else cell
