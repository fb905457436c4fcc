"""Running: many databases at once, each in a thread, and the report of how it went."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from types import FrameType
from typing import Generic, TypeVar

from manybase.concurrency import LOOK, handlers_here
from manybase.engines import Databases
from manybase.errors import ConfigurationError, DirectoryUnavailable, MigrationFailed, PartlyMigrated
from manybase.migrations.environments import Target, in_database
from manybase.migrations.histories import History
from manybase.migrations.orders import Migrated, Observer, Order, Plan, Silent, Stopped
from manybase.migrations.places import Canary, Place, canaries, check_canary, places
from manybase.migrations.stepping import migrate, plan
from manybase.participants import is_in_memory
from manybase.parts import Which, in_order

T = TypeVar("T")
EACH = 2  # connections to a server that migrates one database: for the lock, and for the statements
Job = Callable[[Target], T]
Agree = Callable[[Sequence[Plan]], None]


@dataclass
class Outcome(Generic[T]):
    """What came of each database, in the order of their declaration; ``pending`` are those not begun."""

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    interrupted: bool = False

    def sort(self, databases: Databases) -> None:
        place = in_order(databases)
        self.done = {name: self.done[name] for name in sorted(self.done, key=place)}
        self.failed = {name: self.failed[name] for name in sorted(self.failed, key=place)}
        self.pending.sort(key=place)


class Run(Generic[T]):
    """One job for each of several databases, ``jobs`` at a time.

    Unless ``keep_going``, the first that fails is the last to begin. Of ``canary`` databases, done first, all must
    succeed. Ctrl-C, or ``stopping``, lets those that are under way end what they are at.
    """

    def __init__(
        self,
        databases: Databases,
        job: Job[T],
        *,
        jobs: int = 8,
        keep_going: bool = False,
        canary: Canary = 0,
        observer: Observer | None = None,
        stopping: Event | None = None,
        outcome: Outcome[T] | None = None,
    ) -> None:
        if jobs < 1 or (isinstance(canary, int) and canary < 0):
            raise ConfigurationError("jobs is at least 1, and canary at least 0.")
        self.databases = databases
        self.job = job
        self.jobs = jobs if databases.max_connections is None else max(1, min(jobs, databases.max_connections // EACH))
        self.keep_going = keep_going
        self.canary = canary
        self.observer = observer or Silent()
        self.stopping = stopping or Event()
        self.outcome: Outcome[T] = outcome or Outcome()

    def over(self, places: Sequence[Place]) -> Outcome[T]:
        memory = {name for _, name in places if is_in_memory(self.databases, name)}  # another one in another thread
        alone = [each for each in places if each[1] in memory]
        others = [each for each in places if each[1] not in memory]
        first = canaries(self.databases, others, self.canary)
        with self._stopping_gently():
            for place in alone:
                if self._goes_on(keep_going=self.keep_going):
                    self._take(place, partial(self._one, *place))
                else:
                    self.outcome.pending.append(place[1])
            self._together(first, keep_going=self.keep_going)
            early = {name for _, name in first}
            rest = [each for each in others if each[1] not in early]
            if all(name in self.outcome.done for _, name in first):
                self._together(rest, keep_going=self.keep_going)
            else:
                self.outcome.pending += [name for _, name in rest]
        self.outcome.sort(self.databases)
        return self.outcome

    @contextmanager
    def _stopping_gently(self) -> Iterator[None]:
        """Inside, the first Ctrl-C only says that no more is to begin; the second does what it did before."""
        handlers = handlers_here()

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stopping.is_set():
                handlers[number](number, frame)
            self.outcome.interrupted = True
            self.stopping.set()

        for number in handlers:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _together(self, places: Sequence[Place], *, keep_going: bool) -> None:
        left = list(reversed(places))
        running: dict[Future[T], Place] = {}
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="manybase migration") as pool:
            while left or running:
                while left and len(running) < self.jobs and self._goes_on(keep_going=keep_going):
                    place = left.pop()
                    running[pool.submit(self._one, *place)] = place
                if not running:
                    break
                for future in wait(running, LOOK, FIRST_COMPLETED).done:
                    place = running.pop(future)
                    self._take(place, future.result)
        self.outcome.pending += [name for _, name in reversed(left)]

    def _goes_on(self, *, keep_going: bool) -> bool:
        return not self.stopping.is_set() and (keep_going or not self.outcome.failed)

    def _one(self, history: History, name: str) -> T:
        self.observer.begins(name)
        try:
            return in_database(self.databases, history, name, self.job)
        except SystemExit as error:
            raise MigrationFailed(
                name, f"Its env.py or a revision ended the program, with exit code {error.code!r}."
            ) from error

    def _take(self, place: Place, result: Callable[[], T]) -> None:
        _, name = place
        error: Exception | None = None
        try:
            self.outcome.done[name] = result()
        except Stopped as stopped:
            self.outcome.pending.append(name)
            error = stopped
        except Exception as failure:
            self.outcome.failed[name] = error = failure
        self.observer.ends(name, error)


@dataclass(frozen=True)
class How:
    """``jobs`` databases at a time; after one that fails, ``keep_going`` or not; the first ``canary`` before all, or
    the database, part, shard or tenant of that name. ``only_behind``: pass over what a newer program has migrated."""

    jobs: int = 8
    keep_going: bool = False
    canary: Canary = 0
    only_behind: bool = False


def move(
    databases: Databases, order: Order, names: Collection[str] | None, how: How, agree: Agree, tenants: Which = None
) -> Outcome[Migrated]:
    """As ``order`` says, in each of these databases that is not there yet.

    All are looked at first; ``agree`` then sees the plans of those that have something to do, and may raise.
    """
    if ":" in order.destination:
        raise ConfigurationError(
            f"{order.destination!r}: from:to is for the SQL that --sql writes, not for a database."
        )
    try:
        every = places(databases, names, tenants)
    except DirectoryUnavailable:
        if names is not None or tenants != "all":
            raise
        return directory_first(databases, order, how, agree)
    return move_each(databases, order, every, how, agree)


def directory_first(databases: Databases, order: Order, how: How, agree: Agree) -> Outcome[Migrated]:
    """The table with the tenants may be one that is to be made: then who they are can be told once it is."""
    outcome = move(databases, order, None, replace(how, canary=0), agree)
    if outcome.failed or outcome.pending:
        return outcome
    every = [place for place in places(databases, None, "all") if place[1] not in outcome.done]
    tenants = move_each(databases, order, every, how, agree)
    tenants.done.update(outcome.done)
    tenants.sort(databases)
    return tenants


def move_each(databases: Databases, order: Order, every: Sequence[Place], how: How, agree: Agree) -> Outcome[Migrated]:
    check_canary(databases, every, how.canary)
    observer, stopping = order.observer, order.stopping
    order = replace(order, only_behind=how.only_behind)
    looked = planned(databases, order, every, jobs=how.jobs, keep_going=how.keep_going)
    outcome: Outcome[Migrated] = Outcome(failed=looked.failed, interrupted=looked.interrupted)
    plans = {name: each for name, each in looked.done.items() if each.steps}
    if not how.only_behind:
        idle = {name: each.before for name, each in looked.done.items() if not each.steps}
        outcome.done = {name: Migrated(name, before, before, (), 0.0) for name, before in idle.items()}
    if (looked.failed and not how.keep_going) or stopping.is_set():
        known = {*outcome.failed, *(name for name, each in looked.done.items() if not each.steps)}
        outcome.pending = [name for _, name in every if name not in known]
        return outcome
    agree([plans[name] for _, name in every if name in plans])
    run = Run(
        databases,
        lambda target: migrate(target, order, plans[target.name]),
        jobs=how.jobs,
        keep_going=how.keep_going,
        canary=how.canary,
        observer=observer,
        stopping=stopping,
        outcome=outcome,
    )
    return run.over([place for place in every if place[1] in plans])


def planned(
    databases: Databases, order: Order, places: Sequence[Place], *, jobs: int, keep_going: bool
) -> Outcome[Plan]:
    """What is to be done with each database. Changes nothing."""
    job = partial(plan, order=order)
    return Run(databases, job, jobs=jobs, keep_going=keep_going, stopping=order.stopping).over(places)


def concluded(outcome: Outcome[T]) -> list[T]:
    """What was done, or the error that tells how far it came."""
    if not outcome.failed and not outcome.pending:
        return list(outcome.done.values())
    error = PartlyMigrated(outcome.done, outcome.failed, outcome.pending)
    if outcome.interrupted:
        interruption = KeyboardInterrupt()
        interruption.add_note(str(error))
        raise interruption from error
    if len(outcome.failed) == 1 and not outcome.done and not outcome.pending:
        raise next(iter(outcome.failed.values()))
    raise error
