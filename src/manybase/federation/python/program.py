"""Program: what is left of a statement once its fragments are fetched, as steps over rows in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from manybase.errors import UnsupportedStatement
from manybase.federation.fragments import Fragment
from manybase.federation.python.dense import Dense, dense_statement
from manybase.federation.python.evaluating import Evaluate, Row, Value
from manybase.federation.python.grouping import Aggregate, Bound, grouped, in_order
from manybase.federation.python.joining import (
    NOTHING,
    Index,
    Keys,
    crossed,
    inner,
    inner_swapped,
    key_of,
    left,
    matched,
    picking,
)
from manybase.federation.reading import Rows, slices

if TYPE_CHECKING:
    from manybase.federation.staging import Staging

FEWEST, MOST = 20, 20_000  # rows that are asked for, of those that come first


class Run:
    """One run of a program: the rows of fragments, the values of parameters. ``once``: what it reads only once."""

    def __init__(self, staging: Staging, once: Container[int]) -> None:
        self.staging = staging
        self.once = once
        self.values = staging.values
        self.keeps_order = False
        self.passed = 0  # rows that came to LIMIT
        self._kept: dict[int, Rows] = {}

    def kept(self, source: Source) -> Rows:
        """All rows of a source, read once."""
        if id(source) not in self._kept:
            self._kept[id(source)] = source.rows(self)
        return self._kept[id(source)]

    def taken(self, source: Source) -> Rows:
        """The same; not kept any longer than they are of use, for the garbage collector goes through what is kept."""
        rows = self.kept(source)
        if id(source) in self.once:
            del self._kept[id(source)]
        return rows

    def fetched(self, fragment: Fragment) -> Rows | None:
        """All that came of it, as above; its keys may be of use until all are fetched. None where it is yet to come."""
        found = self.staging.fetched
        if fragment not in found:
            return None
        is_last = id(fragment) in self.once and all(each in found for each in self.staging.plan.fragments)
        return found[fragment].taken() if is_last else found[fragment].rows


class Source:
    """Where rows come from."""

    @property
    def width(self) -> int:
        """How many values each of them has."""
        raise NotImplementedError

    def chunks(self, run: Run) -> Iterator[Rows]:
        raise NotImplementedError

    def rows(self, run: Run) -> Rows:
        chunks = list(self.chunks(run))
        return chunks[0] if len(chunks) == 1 else list(chain.from_iterable(chunks))


class Fetch(Source):
    """The rows of a fragment."""

    def __init__(self, fragment: Fragment) -> None:
        self.fragment = fragment

    @property
    def width(self) -> int:  # outputs may still be added while the program is made
        return max(1, len(self.fragment.outputs))  # where nothing of it is used, its rows are a 1 each

    def chunks(self, run: Run) -> Iterator[Rows]:
        rows = run.fetched(self.fragment)
        yield from run.staging.chunks(self.fragment) if rows is None else slices(rows)

    def rows(self, run: Run) -> Rows:
        rows = run.fetched(self.fragment)
        return super().rows(run) if rows is None else rows


@dataclass
class Step(Source):
    """What is done with the rows of another source; as wide as those, unless it says otherwise."""

    source: Source

    @property
    def width(self) -> int:
        return self.source.width


@dataclass
class Join(Step):
    """Each row of ``source`` with its matches among those of ``other``; with ``outer``, or with NULLs."""

    other: Source
    keys: Keys
    conditions: list[Value]
    outer: bool

    @property
    def width(self) -> int:
        return self.source.width + self.other.width

    def chunks(self, run: Run, picked: Sequence[int] | None = None) -> Iterator[Rows]:
        """``picked``: the positions of those values that are of use. Only where ``can_pick``."""
        accept = accepting(self.conditions, run)
        if not self.outer and self.keys.left and not run.keeps_order and isinstance(self.source, Fetch):
            swapped = self.swapped(run, picked)
            if swapped is not None:
                for rows in swapped:
                    yield rows if accept is None else [row for row in rows if accept(row)]
                return
        others, index, get = indexed(self.other, self.keys, run)
        if index is not None:
            others = NOTHING  # it has them
        if picked is not None and index is not None and get is not None:
            pick = picking(picked, self.source.width, only=index.only is not None, swapped=False)
            find = index.all.get if index.only is None else index.only.get
            for chunk in self.source.chunks(run):
                yield pick(chunk, get, find)
            return
        width = self.other.width
        for chunk in self.source.chunks(run):
            if self.outer:
                yield left(chunk, get, index, others, width, accept)
                continue
            joined = crossed(chunk, others) if index is None or get is None else inner(chunk, get, index)
            yield joined if accept is None else [row for row in joined if accept(row)]

    @property
    def can_pick(self) -> bool:
        return bool(self.keys.left) and not self.outer and not self.conditions

    def swapped(self, run: Run, picked: Sequence[int] | None) -> Iterator[Rows] | None:
        """The same rows, where those of ``source`` are fewer and have keys of their own: then they are looked up."""
        assert isinstance(self.source, Fetch)
        fetched = run.staging.fetched.get(self.source.fragment)
        if fetched is None or not fetched.is_kept:
            return None
        rows = fetched.rows
        if len(rows) >= len(run.kept(self.other)):
            return None
        index = Index(rows, key_of(self.keys.left, run.values))
        get = key_of(self.keys.right, run.values)
        if index.only is None:
            return None
        run.fetched(self.source.fragment)  # given up: the index has them
        if picked is None:
            return (inner_swapped(index, others, get) for others in slices(run.taken(self.other)))
        pick, find = picking(picked, self.source.width, only=True, swapped=True), index.only.get
        return (pick(others, get, find) for others in slices(run.taken(self.other)))


@dataclass
class Match(Step):
    """The rows of ``source`` that have a match among those of ``other``, or, not ``wanted``, those without."""

    other: Source
    keys: Keys
    conditions: list[Value]
    wanted: bool
    null_means_none: bool = False  # NOT IN: nothing is outside of a list that holds NULL

    def chunks(self, run: Run) -> Iterator[Rows]:
        if self.keys.left and not self.conditions and not self.null_means_none:
            present, get, wanted = self.present(run), key_of(self.keys.left, run.values), self.wanted
            for chunk in self.source.chunks(run):
                yield [row for row in chunk if (get(row) in present) is wanted]
        else:
            yield from self.compared(run)

    def present(self, run: Run) -> set[Any]:
        """The keys of ``other``, without NULL, which is equal to nothing."""
        right = self.keys.right
        if isinstance(self.other, Fetch) and len(right) == 1 and right[0].position is not None:
            fetched = run.staging.fetched.get(self.other.fragment)
            if fetched is not None and fetched.is_kept:
                return fetched.keys_of(right[0].position)
        found = set(map(key_of(right, run.values), run.kept(self.other)))
        found.discard(None)
        return found

    def compared(self, run: Run) -> Iterator[Rows]:
        """Where it takes more than the keys to tell."""
        others, index, get = indexed(self.other, self.keys, run)
        accept = accepting(self.conditions, run)
        if self.null_means_none and others:
            hidden = key_of(self.keys.right, run.values)
            if any(hidden(row) is None for row in others):
                return
        for chunk in self.source.chunks(run):
            found = matched(chunk, get, index, others, accept, wanted=self.wanted)
            if self.null_means_none and others and get is not None:
                found = [row for row in found if get(row) is not None]
            yield found


@dataclass
class Filter(Step):
    conditions: list[Value]

    def chunks(self, run: Run) -> Iterator[Rows]:
        accept = accepting(self.conditions, run)
        assert accept is not None
        for chunk in self.source.chunks(run):
            yield [row for row in chunk if accept(row)]


@dataclass
class Group(Step):
    keys: list[Value]
    aggregates: list[Aggregate]

    @property
    def width(self) -> int:
        return len(self.keys) + len(self.aggregates)

    def chunks(self, run: Run) -> Iterator[Rows]:
        rows = (row for chunk in self.source.chunks(run) for row in chunk)
        keys = [key.of(run.values) for key in self.keys]
        yield grouped(rows, keys, [Bound(each, run.values) for each in self.aggregates])


@dataclass
class Project(Step):
    columns: list[Value]

    @property
    def width(self) -> int:
        return len(self.columns)

    def chunks(self, run: Run) -> Iterator[Rows]:
        source, positions = self.source, [each.position for each in self.columns]
        known = [position for position in positions if position is not None]
        if positions == list(range(source.width)):
            yield from source.chunks(run)
        elif known == positions and isinstance(source, Join) and source.can_pick:
            yield from source.chunks(run, known)
        else:
            make = projecting(known) if known == positions else computing(self.columns, run)
            for chunk in source.chunks(run):
                yield make(chunk)


@dataclass
class Distinct(Step):
    def chunks(self, run: Run) -> Iterator[Rows]:
        seen: set[Row] = set()
        for chunk in self.source.chunks(run):
            fresh = [row for row in dict.fromkeys(chunk) if row not in seen]
            seen.update(fresh)
            yield fresh


@dataclass(frozen=True, slots=True)
class Order:
    value: Value
    descending: bool
    nulls_first: bool


@dataclass
class Sort(Step):
    orders: list[Order]

    def chunks(self, run: Run) -> Iterator[Rows]:
        rows = self.source.rows(run)
        if run.keeps_order:  # they came in order
            yield rows
            return
        for order in reversed(self.orders):
            rows = sorted_by(rows, order, run)
        yield rows


@dataclass
class Limit(Step):
    limit: Value | None
    offset: Value | None

    def chunks(self, run: Run) -> Iterator[Rows]:
        skip = number(self.offset, run) or 0
        left_over = number(self.limit, run)
        for rows in self.source.chunks(run):
            run.passed += len(rows)
            chunk = rows[skip:] if skip else rows
            skip = max(0, skip - len(rows))
            if left_over is not None:
                chunk = chunk[:left_over]
                left_over -= len(chunk)
            yield chunk
            if left_over == 0:
                return


@dataclass
class Concatenation(Source):
    """UNION ALL."""

    sources: list[Source]

    @property
    def width(self) -> int:
        return self.sources[0].width

    def chunks(self, run: Run) -> Iterator[Rows]:
        for source in self.sources:
            yield from source.chunks(run)


@dataclass
class Top:
    """The first rows of the result come of the first rows of a fragment: ``limit`` and ``offset`` of the result."""

    fragment: Fragment
    limit: Value
    offset: Value | None

    def wanted(self, run: Run) -> int | None:
        limit = number(self.limit, run)
        return None if limit is None else limit + (number(self.offset, run) or 0)


@dataclass
class Program:
    """``probe``: the fragment that is fetched last; its rows pass through, and need not be kept."""

    source: Source
    fragments: list[Fragment]
    probe: Fragment | None = None
    top: Top | None = None
    dense: Dense | None = None

    def __post_init__(self) -> None:
        counts = Counter(each for source in within(self.source) for each in (id(source), id(fragment_of(source))))
        self._once = frozenset(each for each, count in counts.items() if count == 1)

    def run(self, staging: Staging, *, streams: bool) -> Iterator[Rows]:
        if self.top is not None:
            found = self.first(staging, self.top)
            if found is not None:
                return iter([found])
        last = self.probe
        if last is not None and not streams and self.dense is None and staging.needs_no_keys(last):
            staging.fetch_all(self.fragments, early=last)
        else:
            staging.fetch_all(self.fragments, but=last)
        if self.dense is not None and self.dense.fragment is self.probe:
            self.send_groups(staging, self.dense)
        if self.probe is not None and self.probe not in staging.fetched and not streams:
            staging.fetch([self.probe])
        return self.source.chunks(Run(staging, self._once))

    def send_groups(self, staging: Staging, dense: Dense) -> None:
        known = staging.fetched[dense.known].rows
        numbered = dense.numbered(known, staging.values)
        if numbered is not None:
            fetched = staging.fetch_as(dense.fragment, dense_statement(dense.fragment), numbered.parameters)
            fetched.replace(numbered.rows(fetched.rows))

    def first(self, staging: Staging, top: Top) -> Rows | None:
        """The result, where some first rows of the fragment suffice. Each attempt is one statement, one snapshot."""
        wanted = top.wanted(Run(staging, self._once))
        size = 0 if wanted is None else wanted + max(FEWEST, wanted // 4)
        filtered = any(each.where or each.whole for each in self.fragments if each is not top.fragment)
        most = 4 * size if filtered else MOST
        while wanted and size <= most:
            staging.fetch([top.fragment], limit=size)
            staging.fetch_all(self.fragments, but=top.fragment)
            run = Run(staging, self._once)
            run.keeps_order = True
            rows = self.source.rows(run)
            if run.passed >= wanted or staging.fetched[top.fragment].count < size:
                return rows
            staging.forget()
            size *= 8
        return None


def within(source: Source) -> Iterator[Source]:
    """All that it reads, and itself; what is read twice comes twice."""
    yield source
    for value in vars(source).values():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, Source):
                yield from within(each)


def fragment_of(source: Source) -> Fragment | None:
    return source.fragment if isinstance(source, Fetch) else None


def indexed(other: Source, keys: Keys, run: Run) -> tuple[Rows, Index | None, Evaluate | None]:
    rows = run.taken(other)
    if not keys.left:
        return rows, None, None
    return rows, Index(rows, key_of(keys.right, run.values)), key_of(keys.left, run.values)


def accepting(conditions: list[Value], run: Run) -> Callable[[Row], Any] | None:
    made = [each.of(run.values) for each in conditions]
    if not made:
        return None
    if len(made) == 1:
        return made[0]
    return lambda row: all(each(row) for each in made)


def computing(columns: list[Value], run: Run) -> Callable[[Rows], Rows]:
    made = [each.of(run.values) for each in columns]
    return lambda rows: [tuple([get(row) for get in made]) for row in rows]


def projecting(positions: list[int]) -> Callable[[Rows], Rows]:
    if len(positions) == 1:
        (only,) = positions
        return lambda rows: [(row[only],) for row in rows]
    get: Any = itemgetter(*positions)
    return lambda rows: list(map(get, rows))


def sorted_by(rows: Rows, order: Order, run: Run) -> Rows:
    get = order.value.of(run.values)
    nulls = [row for row in rows if get(row) is None]
    known = [row for row in rows if get(row) is not None] if nulls else list(rows)
    floats = bool(known) and any((value := get(row)) != value for row in known)
    known.sort(key=(lambda row: in_order(get(row))) if floats else get, reverse=order.descending)
    return nulls + known if order.nulls_first else known + nulls


def number(value: Value | None, run: Run) -> int | None:
    found = None if value is None else value.of(run.values)(())
    if found is not None and found < 0:
        raise UnsupportedStatement(
            "A negative LIMIT or OFFSET", "databases do not agree what it means", "Leave it out."
        )
    return None if found is None else int(found)
