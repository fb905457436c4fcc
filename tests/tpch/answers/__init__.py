"""The right answers at the scales 0.01, 0.1 and 1, of the longest only the digest.

Written by ``python -m tests.tpch --native --record``, so they are what one PostgreSQL 15 gave, and checked once:

- at scale 1, all 22 against the validation answers of TPC's own toolkit (``--official``): every text, date and count is
  the same, and every number to the two decimals that are there; only in Q17 the toolkit has 348406.02, not 348406.05.
- at scales 0.01, 0.1 and 1 against those that DuckDB 1.5.5 publishes (``tpch_answers()``): every number is equal. Their
  data are an older dbgen's, with other addresses and comments, so those are not, nor is Q13, which searches comments.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

from tests.tpch.comparing import Rows, differences
from tests.tpch.queries.query import Query

FOLDER = Path(__file__).parent
LONGEST = 200
DIGEST = "sha256 "


def are_known(scale: float) -> bool:
    return _file(scale).is_file()


def differences_from_known(query: Query, scale: float, rows: Rows) -> list[str]:
    """How rows differ from the right ones: nothing if they are those."""
    known = _lines(query, scale)
    if known[0].startswith(DIGEST):
        found = _digest(rows)
        return [] if known == [found] else [f"{len(rows)} rows with {found}, expected {known[0]}"]
    if len(known) != len(rows):
        return [f"{len(rows)} rows, expected {len(known)}"]
    return differences(query, [typed(line.split("|"), row) for line, row in zip(known, rows, strict=True)], rows)


def typed(cells: Iterable[str], row: Sequence[Any]) -> tuple[Any, ...]:
    """The cells of a line, each as the kind of value that it stands beside."""
    return tuple(_value(cell, type(beside)) for cell, beside in zip(cells, row, strict=True))


def record(scale: float, answers: Mapping[Query, Rows]) -> Path:
    """The file that now has these answers."""
    sections = ["\n".join([str(query), *_recorded(rows), ""]) for query, rows in answers.items()]
    _file(scale).write_text("\n".join(sections))
    return _file(scale)


def _recorded(rows: Rows) -> list[str]:
    return _printed(rows) if len(rows) <= LONGEST else [_digest(rows)]


def _printed(rows: Rows) -> list[str]:
    return ["|".join("NULL" if cell is None else str(cell) for cell in row) for row in rows]


def _digest(rows: Rows) -> str:
    return DIGEST + hashlib.sha256("\n".join(sorted(_printed(rows))).encode()).hexdigest()


def _file(scale: float) -> Path:
    return FOLDER / f"{scale:g}.txt"


def _lines(query: Query, scale: float) -> list[str]:
    lines = iter(_file(scale).read_text().splitlines())
    for line in lines:
        if line == str(query):
            return list(takewhile(bool, lines))
    raise LookupError(f"{_file(scale).name} has no answer to {query}.")


def _value(cell: str, kind: type) -> Any:
    if cell == "NULL":
        return None
    if kind in (int, Decimal):
        return kind(cell)
    return kind.fromisoformat(cell) if hasattr(kind, "fromisoformat") else cell
