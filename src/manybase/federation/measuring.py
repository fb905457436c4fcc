"""Measuring: what one run of a plan took, fragment by fragment and altogether."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from manybase.federation.fragments import Fragment
from manybase.federation.reading import Rows
from manybase.federation.staging import Staging


class Measured:
    """Chunks of rows as they pass. ``seconds`` is the time that was worked for them; their reader's does not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.rows = 0
        self.failure: str | None = None  # the kind of error that ended it
        self._chunks: Iterator[Rows] = iter(())

    def start(self, chunks: Iterator[Rows]) -> Iterator[Rows]:
        self._chunks = chunks
        return self

    def __iter__(self) -> Iterator[Rows]:
        return self

    def __next__(self) -> Rows:
        with self.working():
            rows = next(self._chunks, None)
        if rows is None:
            raise StopIteration
        self.rows += len(rows)
        return rows

    @contextmanager
    def working(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.failure = type(error).__name__
            raise
        finally:
            self.seconds += time.perf_counter() - started

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


@dataclass(slots=True)
class Taken:
    """What a fragment took, in all its statements together. ``keys`` is None where none were sent with it."""

    fragment: Fragment
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    keys: int | None = None
    statements: list[str] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return rounded(self.seconds)


def taken(staging: Staging) -> list[Taken]:
    """What each fragment took that was asked for, in that order."""
    found: dict[Fragment, Taken] = {}
    for each in staging.history:
        one = found.setdefault(each.fragment, Taken(each.fragment))
        one.rows += each.count
        one.bytes += each.bytes
        one.seconds += each.seconds
        one.statements += each.statements
        if each.keys is not None:
            one.keys = each.keys + (one.keys or 0)
    return list(found.values())


def rounded(seconds: float) -> float:
    """In milliseconds."""
    return round(seconds * 1000, 3)
