"""Replicas: what this process knows of each replica, and which of them serves next. Nothing here connects."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from manybase.database import Database
from manybase.position import Gtids, Point, Wal

LOOK_EVERY = 1.0  # seconds for which a look is good
AGAIN, AT_MOST = 1.0, 30.0  # seconds until one that is out is looked at again: doubled each time
RAMP = 10.0  # seconds in which one that is back gets its full share
PAYS = 0.01  # seconds of waiting that cost less than what the primary would have to do
BOUND = 0.05  # seconds, the longest wait
TRY_AGAIN = 1.0  # seconds after which it is tried again whether waiting pays
SAMPLE_EVERY = 0.2

State = Literal["unknown", "ok", "lagging", "paused", "disconnected", "promoted", "stranger", "down"]
SERVING = ("ok", "unknown")
Served = Literal["replica", "not replayed", "pinned", "no replica"]


@dataclass(frozen=True)
class Look:
    """What a server says of itself. ``instance`` names what restarts: what was replayed, is, as long as it lives.

    ``received``: what it has of the log, replayed or not. ``lag``: seconds, as far as it can tell. ``lacks``: a
    privilege without which no position is believed.
    """

    instance: str
    follows: bool
    replayed: Point | None = None
    received: Point | None = None
    paused: bool = False
    streaming: bool = True
    lag: float | None = None
    system: int | None = None
    lacks: str | None = None


@dataclass(eq=False)
class Replica:
    """One replica: its state, its load, and what each server behind its URL has replayed."""

    name: str
    weight: float = 1.0
    is_theirs: bool = False
    """Its engine is the program's own, which may use it for whatever it likes."""
    state: State = "unknown"
    in_use: int = 0
    lag_seconds: float | None = None
    lag: int | None = None
    """By position: bytes of log, or transactions."""
    looked: float = -AT_MOST
    due: float = 0.0
    """When one that is out is looked at again."""
    tries: int = 0
    back: float = -RAMP
    catch_up: float = 0.0
    """Seconds that the last waits took until what was asked for was replayed."""
    waited: float = 0.0
    replayed: dict[str, Point] = field(default_factory=dict)
    silent_since: float | None = None
    left: Counter[State] = field(default_factory=Counter)
    """How often it went out, and why."""

    @property
    def serves(self) -> bool:
        return self.state in SERVING

    def load(self, now: float) -> float:
        """How busy it is for its weight; one that is back counts as busier at first, so that not all rush to it."""
        share = min(1.0, max(0.1, (now - self.back) / RAMP))
        return (self.in_use + 1) / (self.weight * share)

    def note_replayed(self, instance: str, point: Point) -> None:
        if instance not in self.replayed and len(self.replayed) > 8:
            self.replayed.clear()
        self.replayed[instance] = point

    def wait(self, now: float) -> float:
        """For how many seconds waiting for it pays now; none where it would not."""
        if self.catch_up <= PAYS:
            return min(BOUND, max(PAYS, 4 * self.catch_up))
        if now - self.waited > TRY_AGAIN:  # one session tries
            self.waited = now
            return BOUND
        return 0.0

    def note_wait(self, seconds: float, *, reached: bool) -> None:
        self.waited = time.monotonic()
        self.catch_up = 0.7 * self.catch_up + 0.3 * seconds if reached else max(2 * self.catch_up, 2 * PAYS)
        self.catch_up = min(self.catch_up, 1.0)

    def note_failure(self, now: float) -> None:
        """It does not answer: nobody is sent there until it is looked at again."""
        self.replayed.clear()
        self.lag = self.lag_seconds = None
        self._leave("down", now)

    def note(self, look: Look, primary: PrimaryLog, max_lag: float, now: float) -> None:
        """What a look tells, and whether it serves from now on."""
        self.looked = now
        if look.replayed is not None:
            self.note_replayed(look.instance, look.replayed)
        if look.received is not None and primary.follows(look.received):
            primary.note(look.received, now)
        self.lag, self.lag_seconds = primary.distance(look.replayed), primary.lag(look, now)
        self.silent_since = None if look.streaming or not look.follows else (self.silent_since or now)
        state = self._state(look, primary, max_lag, now)
        if state != "ok":
            self._leave(state, now)
            return
        if self.state not in ("ok", "unknown"):
            self.back = now
        self.state, self.tries = "ok", 0

    def _state(self, look: Look, primary: PrimaryLog, max_lag: float, now: float) -> State:
        if not look.follows:
            return "promoted"
        if primary.is_another(look):
            return "stranger"
        if look.paused:
            return "paused"
        if (self.lag_seconds or 0.0) > max_lag:
            return "lagging"
        if self.silent_since is not None and now - self.silent_since > max_lag:
            return "disconnected"
        return "ok"

    def _leave(self, state: State, now: float) -> None:
        if state != self.state:
            self.left[state] += 1
        self.state = state
        wait = min(AT_MOST, AGAIN * 2**self.tries) * random.uniform(0.8, 1.2)
        self.tries = min(self.tries + 1, 10)
        self.due = now + wait


class Simulation(Protocol):
    """A replica that is behind because a test says so."""

    def commit(self) -> Point:
        """Somebody has committed: this is the position."""
        ...

    @property
    def replayed(self) -> Point: ...

    @property
    def older(self) -> str | None:
        """The name of the database that shows the older state; None while there is none."""
        ...


class PrimaryLog:
    """Where the log of the primary was, and when: what a replica has not replayed of it, is how far it is behind."""

    def __init__(self, max_lag: float) -> None:
        self._samples: deque[tuple[float, Point]] = deque(maxlen=2_000)
        self._kept = 2 * max_lag + 10

    @property
    def last(self) -> Point | None:
        return self._samples[-1][1] if self._samples else None

    def note(self, point: Point, now: float) -> None:
        last = self._samples[-1] if self._samples else None
        if last is not None and isinstance(last[1], Wal) and isinstance(point, Wal):
            if (point.timeline, point.lsn) < (last[1].timeline, last[1].lsn) and point.system == last[1].system:
                return
            if (point.system, point.timeline) != (last[1].system, last[1].timeline):
                self._samples.clear()
        if last is not None and now - last[0] < SAMPLE_EVERY and self._samples:
            return
        self._samples.append((now, point))
        while self._samples and now - self._samples[0][0] > self._kept and len(self._samples) > 1:
            self._samples.popleft()

    def lag(self, look: Look, now: float) -> float | None:
        """For how many seconds something has been committed that it has not replayed."""
        if look.replayed is None or not self._samples:
            return look.lag
        missing = next((at for at, point in self._samples if not point.is_in(assumed(look.replayed, point))), None)
        return 0.0 if missing is None else max(look.lag or 0.0, now - missing)

    def follows(self, received: Point) -> bool:
        """Whether what a replica has received is of this log, as far as anybody knows."""
        last = self.last
        if last is None or not isinstance(last, Wal) or not isinstance(received, Wal):
            return last is None
        return (last.system, last.timeline) == (received.system, received.timeline)

    def distance(self, replayed: Point | None) -> int | None:
        last = self.last
        if isinstance(last, Wal) and isinstance(replayed, Wal):
            return max(0, last.lsn - replayed.lsn)
        if isinstance(last, Gtids) and isinstance(replayed, Gtids):
            have = {domain: number for domain, (_, number) in replayed.last.items()}
            return sum(max(0, number - have.get(domain, 0)) for domain, (_, number) in last.last.items())
        return None

    def is_another(self, look: Look) -> bool:
        """Whether it follows some other primary."""
        last = self.last
        return isinstance(last, Wal) and look.system is not None and look.system != last.system


class ReplicaSet:
    """The replicas of one database. ``served`` counts who served the transactions of replica sessions."""

    def __init__(self, database: Database) -> None:
        self.database = database.name
        self.max_lag = database.max_lag
        self.fallback = database.fallback
        self.log = PrimaryLog(database.max_lag)
        self.replicas = [
            Replica(f"{database.name}/{number}", each.weight, is_theirs=each.engine is not None)
            for number, each in enumerate(database.replicas, 1)
        ]
        self.served: Counter[Served] = Counter()

    def __iter__(self) -> Iterator[Replica]:
        return iter(self.replicas)

    def __getitem__(self, name: str) -> Replica:
        return next(each for each in self.replicas if each.name == name)

    @property
    def states(self) -> dict[str, str]:
        return {each.name: each.state for each in self.replicas}

    def choose(self, point: Point | None = None, without: Collection[Replica] = ()) -> Replica | None:
        """The less busy of two; where a point is asked for, those that are known to have it come first.

        Once one has been waited for in vain, only those do.
        """
        candidates = [each for each in self.replicas if each.state in SERVING and each not in without]
        if not without and len(candidates) == 1:
            return candidates[0]
        if point is not None:
            have = [each for each in candidates if any(point.is_in(done) for done in each.replayed.values())]
            candidates = have if have or any(each.serves for each in without) else candidates
        if len(candidates) > 2:
            candidates = random.sample(candidates, 2)
        elif len(candidates) == 2 and random.random() < 0.5:
            candidates.reverse()  # else the first one would serve all as long as nobody is busy
        now = time.monotonic()
        return min(candidates, key=lambda each: each.load(now), default=None)

    def take_due(self, now: float) -> Replica | None:
        """One that is out and may be back, to be looked at; nobody else gets it meanwhile."""
        for each in self.replicas:
            if each.state not in SERVING and now >= each.due:
                each.due = now + AT_MOST
                return each
        return None


class ReplicaSets(Mapping[str, ReplicaSet]):
    """Those databases that have replicas, by name."""

    def __init__(self, databases: Collection[Database]) -> None:
        self._databases = databases
        self.simulated: dict[str, Simulation] = {}  # by tests
        self.watched = 0  # background tasks that look
        self.refused_positions = 0  # that a client sent, and nobody here had signed
        self.forget_connections()

    @contextmanager
    def simulating(self, database: Database, simulation: Simulation) -> Iterator[None]:
        """Inside, this database has a replica in the hands of a test, whatever it has otherwise."""
        before, self._sets[database.name] = self._sets.get(database.name), ReplicaSet(database)
        self.simulated[database.name] = simulation
        try:
            yield
        finally:
            del self.simulated[database.name], self._sets[database.name]
            if before is not None:
                self._sets[database.name] = before

    def forget_connections(self) -> None:
        """In a forked child: what was known belongs to the parent's connections."""
        self._sets = {each.name: ReplicaSet(each) for each in self._databases if each.replicas}
        self.watched = 0

    def __getitem__(self, name: str) -> ReplicaSet:
        return self._sets[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sets

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)


def assumed(replayed: Point, point: Point) -> Point:
    """For a lag it may be taken for granted what must not be for a read: that the same bytes are the same log."""
    if isinstance(replayed, Wal) and isinstance(point, Wal) and replayed.timeline == 0:
        return replace(replayed, timeline=point.timeline)
    if isinstance(replayed, Gtids) and isinstance(point, Gtids):
        return Gtids({domain: (point.last.get(domain, each)[0], each[1]) for domain, each in replayed.last.items()})
    return replayed
