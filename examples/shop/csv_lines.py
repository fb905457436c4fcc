"""CSV, one line at a time."""

import csv
import io
from collections.abc import AsyncIterable, AsyncIterator, Sequence


async def csv_lines(header: Sequence[object], rows: AsyncIterable[Sequence[object]]) -> AsyncIterator[str]:
    """The lines of a CSV file, each as soon as its row is there."""
    yield line(header)
    async for row in rows:
        yield line([harmless(cell) for cell in row])


def line(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def harmless(cell: object) -> object:
    """A spreadsheet runs text that begins like a formula, and users choose their names themselves."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
