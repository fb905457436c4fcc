"""Staging: fetches the fragments of a statement through the connections of the session that runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Connection, Dialect, Integer, SelectBase, literal, select
from sqlalchemy.sql import visitors

from manybase.errors import FederationLimit
from manybase.federation import internals
from manybase.federation.fragments import Fragment, Reducer
from manybase.federation.keys import Sending, sending, usable
from manybase.federation.limits import Federation
from manybase.federation.plan import Plan
from manybase.federation.reading import Rows, chunks

if TYPE_CHECKING:
    from manybase.session import Session


GIVEN = "given_"  # what the names of parameters begin with that the statement brings


@dataclass(slots=True)
class Fetched:
    """What came of a fragment, and what it took; ``keys`` that were sent with it."""

    fragment: Fragment
    rows: Rows
    statement: Any
    keys: int | None = None
    seconds: float = 0.0
    bytes: int = 0
    key_sets: dict[int, set[Any]] = field(default_factory=dict)

    def keys_of(self, position: int) -> set[Any]:
        """The distinct values of a column, without NULL."""
        if position not in self.key_sets:
            found = {row[position] for row in self.rows}
            found.discard(None)
            self.key_sets[position] = found
        return self.key_sets[position]


class Staging:
    """One run of a plan. ``values`` of its parameters, by the names that the compiled statement gave them."""

    def __init__(self, session: Session, plan: Plan, values: dict[str, Any], limits: Federation) -> None:
        self.session = session
        self.plan = plan
        self.values = values
        self.limits = limits
        self.fetched: dict[Fragment, Fetched] = {}
        self.dialects: dict[Fragment, Dialect] = {}
        self.rows = 0
        self.bytes = 0
        self._deadline = time.monotonic() + limits.timeout

    def fetch_all(self) -> None:
        """Every fragment, each after those that could tell it what to leave out."""
        for fragment in in_order(self.plan.fragments):
            if fragment not in self.fetched:
                self.fetch(fragment)

    def fetch(self, fragment: Fragment) -> Fetched:
        started = time.perf_counter()
        rows: Rows = []
        size = 0
        statement = None
        for part in self.parts(fragment):
            statement = part.statement
            for chunk in part:
                rows += chunk
                size += self.count(fragment, chunk)
        made = Fetched(fragment, rows, statement, None, time.perf_counter() - started, size)
        self.fetched[fragment] = made
        return made

    def chunks(self, fragment: Fragment) -> Iterator[Rows]:
        """Its rows: those that are here, or, where they are only to pass through, as they come."""
        if fragment in self.fetched:
            yield self.fetched[fragment].rows
            return
        for part in self.parts(fragment):
            for chunk in part:
                self.count(fragment, chunk)
                yield chunk

    def parts(self, fragment: Fragment) -> Iterator[Part]:
        """The statements that bring a fragment: one, or several where not all of its keys go into one."""
        connection = self.connection(fragment)
        active = list(self.keys(fragment, connection))
        if any(not keys for _, _, keys in active):
            return  # nothing can match
        prepared = self.prepared(fragment, tuple(sent for _, sent, _ in active))
        parameters = {name_of(name): self.values[name] for name in prepared.names}
        parameters |= {sent.name: sent.pack(keys) for _, sent, keys in active}
        yield Part(connection, prepared.statement, parameters, prepared.types)

    def connection(self, fragment: Fragment) -> Connection:
        clause = self.prepared(fragment, ()).statement
        connection = self.session.connection(bind_arguments={"database": fragment.database, "clause": clause})
        self.dialects[fragment] = connection.dialect
        return connection

    def keys(self, fragment: Fragment, connection: Connection) -> Iterator[tuple[Reducer, Sending, list[Any]]]:
        for number, reducer in enumerate(fragment.reducers):
            known = self.fetched.get(reducer.outer)
            sent = sending(connection.dialect, reducer.inner, f"keys_{number}") if known is not None else None
            if known is None or sent is None:
                continue
            position = next(i for i, output in enumerate(reducer.outer.outputs) if output.name == reducer.outer_name)
            keys = usable(known.keys_of(position), reducer.inner)
            if keys is not None and len(keys) <= sent.most:
                yield reducer, sent, keys

    def prepared(self, fragment: Fragment, sent: tuple[Sending, ...]) -> Prepared:
        """The SELECT that brings a fragment; made once, so that SQLAlchemy compiles it once."""
        key = (fragment.number, *(each.name for each in sent))
        made: Prepared | None = self.plan.prepared.get(key)
        if made is None:
            made = self.plan.prepared[key] = prepare(self.plan, fragment, sent)
        return made

    def count(self, fragment: Fragment, rows: Rows) -> int:
        """Note what came, and raise where it is too much."""
        size = estimated_size(rows)
        self.rows += len(rows)
        self.bytes += size
        limits, named = self.limits, f"{fragment.name} of database {fragment.database!r}"
        if self.rows > limits.max_rows:
            raise FederationLimit("max_rows", limits.max_rows, fragment=named)
        if self.bytes > limits.max_bytes:
            raise FederationLimit("max_bytes", limits.max_bytes, fragment=named)
        if time.monotonic() > self._deadline:
            raise FederationLimit("timeout", limits.timeout, fragment=named)
        return size


class Part:
    """A statement about to run; its chunks of rows come while it is iterated."""

    def __init__(self, connection: Connection, statement: Any, parameters: dict[str, Any], types: list[Any]) -> None:
        self.connection = connection
        self.statement = statement
        self.parameters = parameters
        self.types = types

    def __iter__(self) -> Iterator[Rows]:
        result = self.connection.execute(self.statement, self.parameters)
        try:
            yield from chunks(result, self.types)
        finally:
            result.close()


@dataclass(frozen=True, slots=True)
class Prepared:
    """``names`` of the parameters it takes, ``types`` of its columns."""

    statement: Any
    names: list[str]
    types: list[Any]


def prepare(plan: Plan, fragment: Fragment, sent: tuple[Sending, ...]) -> Prepared:
    types = [output.type for output in fragment.outputs] or [Integer()]
    if fragment.whole is not None:
        statement: Any = fragment.whole
    else:
        columns = [each.expression.label(each.name) for each in fragment.outputs] or [literal(1).label("c0")]
        conditions = [each.condition for each in sent]
        statement = select(*columns).select_from(*fragment.sources).where(*fragment.where, *conditions)
    statement = internals.as_core(renamed(statement, plan))
    return Prepared(statement, needed(statement), types)


def renamed(statement: SelectBase, plan: Plan) -> Any:
    """With parameters that each execution gives by name, instead of those that hold the values of the first one."""

    def replace(element: Any, **_: Any) -> Any:
        name = plan.names.get(element) if isinstance(element, BindParameter) else None
        return None if name is None else internals.named_bind(element, name_of(name))

    if not any(isinstance(each, BindParameter) and each in plan.names for each in visitors.iterate(statement)):
        return statement
    return visitors.replacement_traverse(statement, {}, replace)


def name_of(name: str) -> str:
    return GIVEN + name


def needed(statement: Any) -> list[str]:
    found = [str(each.key) for each in visitors.iterate(statement) if isinstance(each, BindParameter)]
    return [key.removeprefix(GIVEN) for key in dict.fromkeys(found) if key.startswith(GIVEN)]


def in_order(fragments: Iterable[Fragment]) -> list[Fragment]:
    """Those with conditions first: what they bring reduces the others."""
    left, done = list(fragments), list[Fragment]()
    while left:
        best = min(left, key=lambda each: (rank(each, done), each.number))
        left.remove(best)
        done.append(best)
    return done


def rank(fragment: Fragment, done: list[Fragment]) -> int:
    if fragment.whole is not None:
        return 0
    if fragment.where:
        return 1
    return 2 if any(reducer.outer in done for reducer in fragment.reducers) else 3


def estimated_size(rows: Rows) -> int:
    """In bytes, from some of them."""
    if not rows:
        return 0
    sample = rows[:: max(1, len(rows) // 20)]
    return sum(sys.getsizeof(row) + sum(map(sys.getsizeof, row)) for row in sample) * len(rows) // len(sample)
