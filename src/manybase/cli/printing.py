"""Printing: one JSON document, a Rich table on a terminal, or plain text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

Rows = Iterable[Sequence[object]]


def as_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def table(columns: Sequence[str], rows: Rows) -> None:
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        on_terminal(columns, texts)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for line in (columns, *texts):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def on_terminal(columns: Sequence[str], texts: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns)
    for row in texts:
        made.add_row(*map(Text, row))  # as text: nothing in it is markup
    Console().print(made)


def say(text: str) -> None:
    print(text)


def complain(text: str) -> None:
    print(text, file=sys.stderr)


def age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
