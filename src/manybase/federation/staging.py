"""Staging: fetches the fragments of a statement through the connections of the session that runs it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, Integer

from manybase.errors import FederationLimit
from manybase.federation.choosing import (
    FEW,
    at_once,
    covers,
    has_unique,
    in_order,
    independent,
    is_unique,
    should_scan,
)
from manybase.federation.estimates import estimated_rows
from manybase.federation.fragments import Fragment
from manybase.federation.keys import Sending, usable
from manybase.federation.limits import Federation
from manybase.federation.plan import Plan
from manybase.federation.preparing import FIRST, GIVEN, Prepared, Sent, limited, prepare, prepared_as, sending_to
from manybase.federation.reading import Rows, chunks
from manybase.federation.sizes import estimated_size
from manybase.federation.together import Job, bounded, run_together
from manybase.packets import can_send, heard, send_begin

if TYPE_CHECKING:
    from manybase.engines import Bind
    from manybase.session import Session

STREAMED = {"stream_results": True}
MANY = 10_000  # rows: what is made of fewer is found in the caches of the processor anyway
LAST = 0.1  # seconds for what must be done when time is up
LASTS = 600.0  # seconds for which an estimate holds


@dataclass(eq=False, slots=True)
class Fetched:
    """What came of a fragment, and what it took. ``is_kept``: its rows do not only pass through.

    ``present`` are the values of its only column, where those are all that is known; then its rows are made of them
    when somebody asks.
    """

    fragment: Fragment
    is_kept: bool = True
    present: set[Any] | None = None
    count: int = 0
    bytes: int = 0
    seconds: float = 0.0
    keys: int | None = None  # that were sent with it
    statements: list[str] = field(default_factory=list)
    key_sets: dict[int, set[Any]] = field(default_factory=dict)
    is_taken: bool = False
    _rows: Rows = field(default_factory=list)

    @property
    def rows(self) -> Rows:
        assert not self.is_taken, "Somebody else has its rows."
        if self.present is not None and not self._rows:
            self._rows = [(key,) for key in self.present]
        return self._rows

    def add(self, chunk: Rows) -> None:
        if self._rows:
            self._rows += chunk
        else:
            self._rows = chunk

    def replace(self, rows: Rows) -> None:
        self._rows = rows

    def taken(self) -> Rows:
        """Its rows, for the one that reads them; they are not kept here any longer."""
        rows = self.rows
        self.release()
        self.is_taken = True
        return rows

    def release(self) -> None:
        """What was fetched is of no more use: the garbage collector need not look at it while entities are made."""
        self.present = None
        self._rows = []
        self.key_sets = {}

    def keys_of(self, position: int) -> set[Any]:
        """The distinct values of a column, without NULL."""
        if self.present is not None:
            return self.present
        if position not in self.key_sets:
            found = {row[position] for row in self.rows}
            found.discard(None)
            self.key_sets[position] = found
        return self.key_sets[position]


@dataclass(eq=False, slots=True)
class Part:
    """A statement about to run. ``streams``: its rows may be too many to be had at once.

    ``again`` runs where it brings as many rows as its LIMIT, the parameter ``FIRST``: there are more, and a driver
    would have had them all at once.
    """

    connection: Connection
    prepared: Prepared
    parameters: dict[str, Any]
    streams: bool = False
    keys: int | None = None
    missing_of: Collection[Any] | None = None  # it tells which of these have no match, and not which have one
    again: Part | None = None

    def chunks(self, ran: list[str]) -> Iterator[Rows]:
        """Its rows; what is sent is added to those that ``ran``."""
        if self.again is None:
            yield from self.all_chunks(ran)
            return
        found = list(self.all_chunks(ran))
        if sum(map(len, found)) < self.parameters[FIRST]:
            yield from found
            return
        found.clear()
        yield from self.again.chunks(ran)

    def all_chunks(self, ran: list[str]) -> Iterator[Rows]:
        options: Any = STREAMED if self.streams else None
        result = self.connection.execute(self.prepared.statement, self.parameters, execution_options=options)
        ran.append(str(result.context.compiled))
        try:
            if result.returns_rows:
                yield from chunks(result, self.prepared.processors(result))
        finally:
            result.close()


class Staging:
    """One run of a plan. ``values`` of its parameters, by the names that the compiled statement gave them."""

    def __init__(self, session: Session, plan: Plan, values: dict[str, Any], limits: Federation) -> None:
        self.session = session
        self.plan = plan
        self.values = values
        self.limits = limits
        self.fetched: dict[Fragment, Fetched] = {}
        self.history: list[Fetched] = []  # with what was fetched in vain
        self.connections: dict[Fragment, Connection] = {}
        self.due: set[Connection] = set()  # whose answers to BEGIN are due
        self.rows = 0
        self.bytes = 0
        self._deadline = time.monotonic() + limits.timeout

    def begin(self) -> None:
        """All transactions, at once where that can be. ``hear_all`` must follow.

        Not where somebody listens to their beginnings, who may use any of these connections.
        """
        if len(self.session.dispatch.after_begin) > 1:
            return
        for each in self.plan.fragments:
            if can_send(dialect_of(self.session, each.database)):
                connection = self.connection(each)
                if connection not in self.due and send_begin(connection):
                    self.due.add(connection)

    def hear(self, connection: Connection) -> None:
        """The answer to that, before anything else is sent. What failed, the next statement tells."""
        if connection in self.due:
            self.due.discard(connection)
            with suppress(Exception):
                heard(connection)

    def hear_all(self) -> None:
        """What is still to be heard, whatever comes in between: else nobody could use these connections again."""
        failure: BaseException | None = None
        while self.due:
            connection = self.due.pop()
            seconds = max(LAST, self.remaining)
            try:
                run_together([], [partial(answered, connection, seconds)], seconds, asyncio=self.session._asyncio)
            except TimeoutError as error:
                connection.invalidate(error)
                named = " and ".join(self.named(each) for each, its in self.connections.items() if its is connection)
                failure = failure or FederationLimit("timeout", self.limits.timeout, fragment=named)
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure

    def fetch_all(
        self, fragments: Sequence[Fragment], but: Fragment | None = None, early: Fragment | None = None
    ) -> None:
        """Every fragment, each after those that could tell it what to leave out; ``early`` waits for none of them.

        ``but`` this one, it comes later.
        """
        left = [each for each in in_order(fragments) if each is not but]
        while left:
            batch = independent(left, early)
            left = [each for each in left if each not in batch]
            self.fetch(batch)

    def fetch(self, batch: Sequence[Fragment], limit: int | None = None) -> None:
        """Fragments of different databases, at the same time; with ``limit``, only so many first rows of each."""
        parts = [self.part(each, limit) for each in batch]
        begun = [(self.begun(each, part), part) for each, part in zip(batch, parts, strict=True)]
        self.run(*((fetched, part) for fetched, part in begun if part is not None))

    def begun(self, fragment: Fragment, part: Part | None, *, is_kept: bool = True) -> Fetched:
        """What is about to come of a fragment; in place of what came of it before."""
        fetched = self.fetched[fragment] = Fetched(fragment, is_kept, keys=None if part is None else part.keys)
        self.history.append(fetched)
        return fetched

    def run(self, *parts: tuple[Fetched, Part]) -> None:
        shared: dict[int, list[tuple[Fetched, Part]]] = {}  # SQLite files may be attached to one connection
        for fetched, part in parts:
            driver = part.connection.connection.dbapi_connection
            shared.setdefault(id(driver), []).append((fetched, part))
        jobs, here = list[Job](), list[Job]()  # a connection to SQLite may be bound to its thread
        for those in shared.values():
            stays = those[0][1].connection.dialect.name == "sqlite"
            (here if stays else jobs).append(partial(self.collect_each, those))
        if parts:
            self.in_time(jobs, here, *(fetched.fragment for fetched, _ in parts))

    def in_time(self, jobs: Sequence[Job], here: Sequence[Job], *fragments: Fragment) -> None:
        try:
            run_together(jobs, here, self.remaining, asyncio=self.session._asyncio)
        except TimeoutError as error:
            named = " and ".join(map(self.named, fragments))
            raise FederationLimit("timeout", self.limits.timeout, fragment=named) from error

    @property
    def remaining(self) -> float:
        return self._deadline - time.monotonic()

    def named(self, fragment: Fragment) -> str:
        return f"{fragment.name} of database {fragment.database!r}"

    def fetch_as(self, fragment: Fragment, statement: Any, parameters: dict[str, Any]) -> Fetched:
        """A fragment by another statement, which has the same columns."""
        prepared = prepared_as(self.plan, statement, [output.type for output in fragment.outputs])
        part = Part(self.connection(fragment), prepared, self.given(prepared) | parameters)
        fetched = self.begun(fragment, part)
        self.run((fetched, part))
        return fetched

    def collect_each(self, parts: Sequence[tuple[Fetched, Part]]) -> None:
        for fetched, part in parts:
            self.collect(fetched, part)

    def collect(self, fetched: Fetched, part: Part) -> None:
        with bounded(part.connection, self.remaining):
            if part.missing_of is not None:
                fetched.present = set(part.missing_of)
                fetched.present.difference_update(row[0] for chunk in self.read(fetched, part) for row in chunk)
            else:
                for chunk in self.read(fetched, part):
                    fetched.add(chunk)

    def chunks(self, fragment: Fragment) -> Iterator[Rows]:
        """Its rows as they come, which are only to pass through."""
        part = self.part(fragment, passes=True)
        fetched = self.begun(fragment, part, is_kept=False)
        if part is None:
            return
        if part.missing_of is None:
            yield from self.read(fetched, part)
        else:
            self.collect(fetched, part)
            yield fetched.taken()

    def read(self, fetched: Fetched, part: Part) -> Iterator[Rows]:
        started = time.perf_counter()
        self.hear(part.connection)
        for chunk in part.chunks(fetched.statements):
            fetched.seconds += time.perf_counter() - started
            fetched.count += len(chunk)
            fetched.bytes += self.count(fetched.fragment, chunk)
            yield chunk
            started = time.perf_counter()
        fetched.seconds += time.perf_counter() - started
        fetched.fragment.usual = fetched.count

    def estimate(self) -> bool:
        """Ask what databases suppose; whether a program that was made by then must be made again."""
        if self.plan.is_estimated:
            return False
        self.plan.is_estimated = True
        unsure = [each for each in self.plan.fragments if each.where and not each.is_small and each.whole is None]
        if len(unsure) < 2:
            return False
        before = in_order(self.plan.fragments)
        for fragment in unsure:
            fragment.estimate = self.expected(fragment)
        return in_order(self.plan.fragments) != before

    def needs_no_keys(self, fragment: Fragment) -> bool:
        """Whether those of the only other fragment were too many the last time, and its database expects so again."""
        share = fragment.unsent
        if share is None or len(self.plan.fragments) != 2 or time.monotonic() >= fragment.sized_until:
            return False
        (other,) = (each for each in self.plan.fragments if each is not fragment)
        if other.usual is None or other.whole is not None or not covers(fragment, int(other.usual * share)):
            return False
        rows = self.expected(other)
        return rows is not None and covers(fragment, int(rows * share))

    def gathers(self, fragment: Fragment) -> bool:
        """Whether its rows should come in the order of their keys: many, of which entities are made in that order.

        What comes together lies together in memory, and the garbage collector goes through it again and again.
        """
        plan = self.plan
        if not plan.makes_entities or plan.is_ordered or len(plan.fragments) != 2 or len(fragment.reducers) != 1:
            return False
        key = fragment.reducers[0].inner
        if fragment.usual is None or fragment.usual < MANY:
            return False
        if not isinstance(key.type, Integer) or has_unique(fragment, key):
            return False
        return any(each.unsent is not None for each in plan.fragments)

    def expected(self, fragment: Fragment) -> int | None:
        """How many rows its database supposes. It may have to wait for a lock even to say that."""
        part = self.part(fragment)
        return None if part is None else self.supposed(fragment, part)

    def measure(self, fragment: Fragment) -> None:
        """Ask how many rows a table has, where that tells whether many keys are of use. It holds for a while."""
        now = time.monotonic()
        if now >= fragment.sized_until and not fragment.where and fragment.whole is None and fragment.answers is None:
            fragment.sized_until = now + LASTS
            prepared = self.prepared(fragment, ())
            fragment.size = self.supposed(fragment, Part(self.connection(fragment), prepared, self.given(prepared)))

    def supposed(self, fragment: Fragment, part: Part) -> int | None:
        found: list[int | None] = []

        def ask() -> None:
            with bounded(part.connection, self.remaining):
                self.hear(part.connection)
                found.append(estimated_rows(part.connection, part.prepared.statement, part.parameters))

        self.in_time([], [ask], fragment)
        return found[0]

    def forget(self) -> None:
        """What was fetched, as if nothing had been."""
        self.fetched.clear()

    def connection(self, fragment: Fragment) -> Connection:
        """That of the session to the database of a fragment."""
        connection = self.connections.get(fragment)
        if connection is None:
            clause = self.prepared(fragment, ()).statement
            connection = self.session.connection(bind_arguments={"database": fragment.database, "clause": clause})
            self.connections[fragment] = connection
        return connection

    def given(self, prepared: Prepared) -> dict[str, Any]:
        """The parameters of a fragment that the statement brings."""
        return {GIVEN + name: self.values[name] for name in prepared.names}

    def part(self, fragment: Fragment, limit: int | None = None, *, passes: bool = False) -> Part | None:
        """The statement that brings a fragment; None where nothing in it can match.

        ``limit``: only so many first rows. ``passes``: its rows are not to be kept.
        """
        connection = self.connection(fragment)
        active = self.keys(fragment, connection.dialect)
        if any(not keys for _, keys in active):
            return None
        fewest = min((len(keys) for _, keys in active), default=None)
        scans = fewest is not None and should_scan(fragment, fewest)
        sent: tuple[Sent, ...] = tuple((each, each.way_of(keys, scans=scans)) for each, keys in active)
        gathers = limit is None and not sent and not passes and self.gathers(fragment)
        prepared = self.prepared(fragment, sent, first=limit is not None, gathers=gathers)
        parameters = self.given(prepared)
        if limit is not None:
            parameters[FIRST] = limit
        for (each, way), (_, keys) in zip(sent, active, strict=True):
            parameters |= each.parameters(keys, way)
        few = (
            fragment.is_small
            or (fragment.answers is not None and bool(active))
            or (limit is not None and limit <= FEW)
            or any(len(keys) <= FEW and is_unique(fragment, each) for each, keys in active)
        )
        lasting = connection.dialect.name == "sqlite" and not connection.dialect.is_async  # reads as it is asked
        missing_of = active[0][1] if prepared.tells_missing else None
        count = fewest if any(way != "between" for _, way in sent) or not sent else 2
        part = Part(connection, prepared, parameters, not few and not lasting, count, missing_of)
        most = at_once(fragment, fewest, self.limits, connection.dialect.name, passes=passes)
        if not part.streams or limit is not None or most is None or missing_of is not None:
            return part
        first = self.prepared(fragment, sent, at_most=True, gathers=gathers)
        return Part(connection, first, parameters | {FIRST: most}, False, count, None, part)

    def keys(self, fragment: Fragment, dialect: Dialect) -> list[tuple[Sending, Collection[Any]]]:
        """What was found that it can be reduced by. Where it is known that nothing can, the fragment remembers."""
        active: list[tuple[Sending, Collection[Any]]] = []
        are_known, share = False, None
        for number, reducer in enumerate(fragment.reducers):
            known = self.fetched.get(reducer.outer)
            if known is None or not known.is_kept:
                continue
            sent = sending_to(self.plan, fragment, number, dialect)
            if sent is None:
                continue
            found = known.keys_of(reducer.outer.position(reducer.key))
            if len(found) > FEW:
                self.measure(fragment)
            are_known = True
            if covers(fragment, len(found)):
                share = len(found) / max(1, known.count)
                continue
            keys = usable(found, reducer.inner, dialect)
            if keys is not None and len(keys) <= sent.most:
                active.append((sent, keys))
        if are_known:
            fragment.unsent = None if active else share
        return active

    def prepared(
        self,
        fragment: Fragment,
        sent: tuple[Sent, ...],
        *,
        first: bool = False,
        at_most: bool = False,
        gathers: bool = False,
    ) -> Prepared:
        """The SELECT that brings a fragment; made once, so that SQLAlchemy compiles it once."""
        key = (fragment, first, at_most, gathers, *sent)
        made: Prepared | None = self.plan.prepared.get(key)
        if made is None:
            made = prepare(self.plan, fragment, sent, first=first, gathers=gathers)
            if at_most:
                made = replace(made, statement=limited(made.statement))
            self.plan.prepared[key] = made
        return made

    def count(self, fragment: Fragment, rows: Rows) -> int:
        """Note what came, and raise where it is too much."""
        size = estimated_size(rows)
        self.rows += len(rows)
        self.bytes += size
        limits, named = self.limits, self.named(fragment)
        if self.rows > limits.max_rows:
            raise FederationLimit("max_rows", limits.max_rows, fragment=named)
        if self.bytes > limits.max_bytes:
            raise FederationLimit("max_bytes", limits.max_bytes, fragment=named)
        if time.monotonic() > self._deadline:
            raise FederationLimit("timeout", limits.timeout, fragment=named)
        return size


def answered(connection: Connection, seconds: float) -> None:
    """Wait for the answer to BEGIN. What failed, the next statement tells; ``TimeoutError`` where there is none."""
    try:
        with bounded(connection, seconds):
            heard(connection)
    except TimeoutError:
        raise
    except Exception:
        return


def dialect_of(session: Session, database: str) -> Dialect:
    """What a database of this session speaks. Nothing connects."""
    bind: Bind = session.databases.bind(session._place(database), asyncio=session._asyncio)
    return bind.dialect
