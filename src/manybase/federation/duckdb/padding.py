"""Padding: spaces at the end of a string do not count where MySQL compares, so they travel as a mark that DuckDB's
NOACCENT does not count either. What comes out of DuckDB has spaces again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, String, func

from manybase.errors import UnsupportedStatement

MARK = "\N{VARIATION SELECTOR-256}"  # of 256 the last; no registered character uses it


class Unpadded(String):
    """Of a value that is compared: its spaces at the end, which are no marks, do not count either."""

    def bind_expression(self, bindvalue: BindParameter[str]) -> ColumnElement[str] | None:
        return func.rtrim(bindvalue)


def padded(values: Sequence[Any], part: str) -> Sequence[Any]:
    if any(value is not None and MARK in value for value in values):
        raise UnsupportedStatement(part, f"it holds U+{ord(MARK):X}", "Select it as it is.")
    if not any(value is not None and value.endswith(" ") for value in values):
        return values
    return [value if value is None else with_marks(value) for value in values]


def with_marks(text: str) -> str:
    kept = text.rstrip(" ")
    return kept + MARK * (len(text) - len(kept))


def unpadded(value: Any) -> Any:
    return value.replace(MARK, " ") if isinstance(value, str) and MARK in value else value
