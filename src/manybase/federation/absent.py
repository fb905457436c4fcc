"""Absent: NULL is None while anything is computed, and what a type makes of NULL it makes of it in the end.

A database knows NULL only, whatever a ``TypeDecorator`` returns for it; and an outer join makes more of them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.types import TypeEngine

Process: TypeAlias = "Callable[[Any], Any] | None"
Rows: TypeAlias = "list[tuple[Any, ...]]"


def is_own(type_: TypeEngine[Any], dialect: Dialect) -> bool:
    """Whether it is none of SQLAlchemy's, which all make None of NULL."""
    return not type(type_.dialect_impl(dialect)).__module__.startswith("sqlalchemy.")


def null_kept(process: Process, type_: TypeEngine[Any], dialect: Dialect) -> Process:
    """What makes values of what a driver gives, and None of NULL."""
    if process is None or not is_own(type_, dialect):
        return process
    return lambda value: None if value is None else process(value)


def of_null(type_: TypeEngine[Any], dialect: Dialect) -> Any:
    """What a type makes of NULL: a new one each time, for it may be a list."""
    if not is_own(type_, dialect):
        return None
    given: Any = type_.dialect_impl(dialect)
    if not isinstance(given, TypeDecorator) or type(given).result_processor is not TypeDecorator.result_processor:
        process = given.result_processor(dialect, None)
        return None if process is None else process(None)
    inner = of_null(given.impl_instance, dialect)
    if type(given).process_result_value is TypeDecorator.process_result_value:
        return inner
    return given.process_result_value(inner, dialect)


def filled(chunks: Iterator[Rows], types: Sequence[TypeEngine[Any]], homes: Mapping[int, Dialect]) -> Iterator[Rows]:
    """The rows, with what types make of NULL; ``homes`` of the columns that have such a type."""
    fills = {place: partial(of_null, types[place], dialect) for place, dialect in homes.items()}
    try:
        for rows in chunks:
            columns: list[Any] = list(zip(*rows, strict=True))
            for place, fill in fills.items() if rows else ():
                columns[place] = [fill() if value is None else value for value in columns[place]]
            yield list(zip(*columns, strict=True))
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
