"""The ways to join: natively in one PostgreSQL, with a session over two databases, and by hand over two sessions."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.orm import Session as PlainSession

from benchmarks.join_cases import Case, Rows
from benchmarks.join_data import EventsBase, UsersBase
from manybase import Database, Databases, Session

NATIVE, MANYBASE, BY_HAND = "native", "manybase", "by hand"
WAYS = (NATIVE, MANYBASE, BY_HAND)


@dataclass(frozen=True)
class Places:
    """Where the tables are. ``native``: the PostgreSQL that has both."""

    native: URL
    users: URL
    events: URL

    def to_json(self) -> dict[str, str]:
        return {name: url.render_as_string(hide_password=False) for name, url in vars(self).items()}

    @classmethod
    def from_json(cls, urls: dict[str, str]) -> Self:
        return cls(**{name: make_url(url) for name, url in urls.items()})


class Ways:
    """Every way to answer a case, each with pools of its own."""

    def __init__(self, native: Engine, databases: Databases, users: Engine, events: Engine) -> None:
        self._native, self._databases, self._users, self._events = native, databases, users, events

    def run(self, way: str, case: Case) -> tuple[Rows, float]:
        """The rows, and the seconds they took in a new session."""
        return {NATIVE: self._natively, MANYBASE: self._with_manybase, BY_HAND: self._by_hand}[way](case)

    def moved(self, case: Case) -> int | None:
        """How many rows the databases send for a case, or None where a session cannot tell yet."""
        with Session(self._databases) as session:
            explain = getattr(session, "explain", None)
            if explain is None:
                return None
            plan = explain(case.statement, analyze=True).to_dict()
            return sum(int(fragment["rows"]) for fragment in plan["fragments"])

    def _natively(self, case: Case) -> tuple[Rows, float]:
        statement = case.statement if case.native is None else case.native
        with PlainSession(self._native) as session:
            return timed(lambda: session.execute(statement).all())

    def _with_manybase(self, case: Case) -> tuple[Rows, float]:
        with Session(self._databases) as session:
            return timed(lambda: session.execute(case.statement).all())

    def _by_hand(self, case: Case) -> tuple[Rows, float]:
        with PlainSession(self._users) as users, PlainSession(self._events) as events:
            return timed(lambda: case.by_hand(users, events))


def timed(run: Callable[[], Rows]) -> tuple[Rows, float]:
    gc.collect()
    start = time.perf_counter()
    rows = run()
    return rows, time.perf_counter() - start


@contextmanager
def ways(places: Places) -> Iterator[Ways]:
    databases = Databases(
        Database("users", places.users, models=UsersBase), Database("events", places.events, models=EventsBase)
    )
    engines = [create_engine(url) for url in (places.native, places.users, places.events)]
    try:
        native, users, events = engines
        yield Ways(native, databases, users, events)
    finally:
        databases.dispose()
        for engine in engines:
            engine.dispose()
