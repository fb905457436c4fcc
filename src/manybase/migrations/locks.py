"""Locks: to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine


@contextmanager
def lock(
    engine: Engine, database: str, *, timeout: float, scope: str = "", waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    yield


def guard(connection: Connection, database: str, *, timeout: float, scope: str = "") -> None: ...


def holder(connection: Connection, scope: str = "") -> str | None:
    return None
