"""Position: how far the log of each written database had come when a commit ended. Comparable, and a short string."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from manybase.errors import InvalidPosition

PINNED = 3600.0  # seconds for which reads stay on the primary where nobody can say what a replica would have to know
LONGEST = 4_000  # characters: more is no position of ours, and fits into no cookie
T = TypeVar("T")


class Point(Protocol):
    """How far one log had come."""

    def is_in(self, replayed: Point | None) -> bool:
        """Whether a replica that has come so far has all that was written until here. In doubt it has not."""
        ...

    def merge(self, later: Point) -> Point:
        """The point that has both; where they cannot be compared, the later one."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Wal:
    """PostgreSQL: a byte of the log of one system, on one timeline; promotion begins another.

    On another timeline the same byte may be something else: what a promoted replica had not received is lost.
    """

    system: int
    timeline: int
    lsn: int

    def is_in(self, replayed: Point | None) -> bool:
        return (
            isinstance(replayed, Wal)
            and (self.system, self.timeline) == (replayed.system, replayed.timeline)
            and replayed.lsn >= self.lsn
        )

    def merge(self, later: Point) -> Point:
        if not isinstance(later, Wal) or later.system != self.system:
            return later
        return max(self, later, key=lambda each: (each.timeline, each.lsn))

    def __str__(self) -> str:
        return f"wal.{self.system:x}.{self.timeline:x}.{self.lsn:x}"

    @classmethod
    def parse(cls, text: str) -> Wal:
        system, timeline, lsn = (int(each, 16) for each in text.split("."))
        return cls(system, timeline, lsn)

    @classmethod
    def of(cls, system: int | str, timeline: int | str, lsn: str) -> Wal:
        """From what the server says; the timeline may be the name of a file of the log."""
        high, low = lsn.split("/")
        number = int(timeline[:8], 16) if isinstance(timeline, str) else timeline
        return cls(int(system), number, (int(high, 16) << 32) + int(low, 16))


@dataclass(frozen=True, slots=True)
class Gtids:
    """MariaDB: the last transaction of each domain, and the server that wrote it.

    Sequence numbers of a domain only grow, but a promoted replica gives them out again that it had not received. So
    they are believed only while the server is the same.
    """

    last: Mapping[int, tuple[int, int]]  # by domain: the server, and the number of its transaction

    def is_in(self, replayed: Point | None) -> bool:
        if not isinstance(replayed, Gtids):
            return False
        return all(
            domain in replayed.last and replayed.last[domain][0] == server and replayed.last[domain][1] >= number
            for domain, (server, number) in self.last.items()
        )

    def merge(self, later: Point) -> Point:
        if not isinstance(later, Gtids):
            return later
        merged = {**self.last, **later.last}
        for domain, (server, number) in self.last.items():
            other = later.last.get(domain)
            if other is not None and other[0] == server and other[1] < number:
                merged[domain] = server, number
        return Gtids(merged)

    def __str__(self) -> str:
        return "gtid." + "+".join(f"{domain}-{server}-{number}" for domain, (server, number) in self._sorted)

    @property
    def _sorted(self) -> list[tuple[int, tuple[int, int]]]:
        return sorted(self.last.items())

    @property
    def text(self) -> str:
        """As MariaDB writes it."""
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in self._sorted)

    @classmethod
    def parse(cls, text: str) -> Gtids:
        found = {}
        for each in filter(None, re.split("[+,]", text)):
            domain, server, number = map(int, each.split("-"))
            found[domain] = server, number
        return cls(found)


@dataclass(frozen=True, slots=True)
class GtidSet:
    """MySQL: the transactions of each server, as ranges. A server's name is its own, so promotion confuses nothing."""

    ranges: Mapping[str, tuple[tuple[int, int], ...]]

    def is_in(self, replayed: Point | None) -> bool:
        if not isinstance(replayed, GtidSet):
            return False
        return all(
            any(low <= first and last <= high for low, high in replayed.ranges.get(server, ()))
            for server, ranges in self.ranges.items()
            for first, last in ranges
        )

    def merge(self, later: Point) -> Point:
        if not isinstance(later, GtidSet):
            return later
        servers = {*self.ranges, *later.ranges}
        return GtidSet({each: joined(self.ranges.get(each, ()) + later.ranges.get(each, ())) for each in servers})

    def __str__(self) -> str:
        return "gtids." + self.text.replace(",", "+")

    @property
    def text(self) -> str:
        """As MySQL writes it."""
        return ",".join(
            ":".join([server, *(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)])
            for server, ranges in sorted(self.ranges.items())
        )

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        found: dict[str, tuple[tuple[int, int], ...]] = {}
        for each in filter(None, re.split(r"[+,]", re.sub(r"\s", "", text))):
            parts = each.split(":")
            named = [part for part in parts if not re.fullmatch(r"\d+(-\d+)?", part)]  # the server, perhaps with a tag
            ranges = [tuple(map(int, part.split("-"))) for part in parts[len(named) :]]
            server = ":".join(named).lower()
            found[server] = joined((*found.get(server, ()), *((one[0], one[-1]) for one in ranges)))
        return cls(found)


@dataclass(frozen=True, slots=True)
class OnPrimary:
    """No replica will do: the commit has not ended everywhere, or its position could not be read. Until a time."""

    until: int = field(default_factory=lambda: int(time.time() + PINNED))

    def is_in(self, replayed: Point | None) -> bool:
        return time.time() > self.until

    def merge(self, later: Point) -> Point:
        if isinstance(later, OnPrimary):
            return max(self, later, key=lambda each: each.until)
        return later if self.is_in(None) else self

    def __str__(self) -> str:
        return f"primary.{self.until:x}"

    @classmethod
    def parse(cls, text: str) -> OnPrimary:
        return cls(min(int(text, 16), int(time.time() + PINNED)))


@dataclass(frozen=True, slots=True)
class Simulated:
    """What ``manybase.testing.lag`` gives: the number of a commit."""

    number: int

    def is_in(self, replayed: Point | None) -> bool:
        return isinstance(replayed, Simulated) and replayed.number >= self.number

    def merge(self, later: Point) -> Point:
        return max(self, later, key=lambda each: each.number) if isinstance(later, Simulated) else later

    def __str__(self) -> str:
        return f"test.{self.number:x}"

    @classmethod
    def parse(cls, text: str) -> Simulated:
        return cls(int(text, 16))


KINDS: dict[str, Callable[[str], Point]] = {
    "wal": Wal.parse,
    "gtid": Gtids.parse,
    "gtids": GtidSet.parse,
    "primary": OnPrimary.parse,
    "test": Simulated.parse,
}


class Position:
    """What was written, by database: a session that reads ``after`` it sees it.

    ``str(position)`` is short and holds nothing but names and numbers; ``Position.parse`` makes it a position again,
    in another request, process or job. An empty position is false, and is reached everywhere.
    """

    __slots__ = ("points",)

    def __init__(self, points: Mapping[str, Point] | None = None) -> None:
        self.points: Mapping[str, Point] = MappingProxyType(dict(points or {}))

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that ``str`` wrote; ``InvalidPosition`` where it did not."""
        if not isinstance(text, str) or len(text) > LONGEST:
            raise InvalidPosition
        try:
            return cls({name: point for each in text.split("~") if each for name, point in [parsed(each)]})
        except (ValueError, KeyError, IndexError):
            raise InvalidPosition from None

    def merge(self, *later: Position | None) -> Position:
        """The position that has all of these; ``later`` ones win where two cannot be compared."""
        points = dict(self.points)
        for position in later:
            for name, point in (position or NOWHERE).points.items():
                points[name] = points[name].merge(point) if name in points else point
        return Position(points)

    def get(self, name: str) -> Point | None:
        return self.points.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.points)

    def __bool__(self) -> bool:
        return bool(self.points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and dict(self.points) == dict(other.points)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return "~".join(f"{name}:{point}" for name, point in sorted(self.points.items()))

    def __repr__(self) -> str:
        return f"Position.parse({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Position.parse, (str(self),)


NOWHERE = Position()


def parsed(text: str) -> tuple[str, Point]:
    name, _, point = text.partition(":")
    kind, _, value = point.partition(".")
    if not name or not value:
        raise ValueError(text)
    return name, KINDS[kind](value)


def joined(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The same numbers in as few ranges as possible."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)
