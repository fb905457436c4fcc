"""Running: many databases at once, each in a thread, and the report of how it went."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from types import FrameType
from typing import Generic, TypeVar

from manybase.concurrency import handlers_here
from manybase.engines import Databases
from manybase.errors import ConfigurationError, MigrationFailed, PartlyMigrated
from manybase.migrations.environments import Target, in_database
from manybase.migrations.histories import History, histories
from manybase.migrations.orders import Migrated, Observer, Order, Plan, Silent, Stopped
from manybase.migrations.stepping import migrate, plan
from manybase.participants import is_in_memory

T = TypeVar("T")
Place = tuple[History, str]
Job = Callable[[Target], T]
Agree = Callable[[Sequence[Plan]], None]


@dataclass
class Outcome(Generic[T]):
    """What came of each database, in the order of their declaration; ``pending`` are those not begun."""

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    interrupted: bool = False

    def sort(self, names: Sequence[str]) -> None:
        place = {name: number for number, name in enumerate(names)}.__getitem__
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
        canary: int = 0,
        observer: Observer | None = None,
        stopping: Event | None = None,
        outcome: Outcome[T] | None = None,
    ) -> None:
        if jobs < 1 or canary < 0:
            raise ConfigurationError("jobs is at least 1, and canary at least 0.")
        self.databases = databases
        self.job = job
        self.jobs = jobs
        self.keep_going = keep_going
        self.canary = canary
        self.observer = observer or Silent()
        self.stopping = stopping or Event()
        self.outcome: Outcome[T] = outcome or Outcome()

    def over(self, places: Sequence[Place]) -> Outcome[T]:
        alone = [each for each in places if is_in_memory(self.databases, each[1])]  # another one in another thread
        others = [each for each in places if each not in alone]
        first = others[: self.canary]
        with self._stopping_gently():
            for place in alone:
                if self._goes_on(keep_going=self.keep_going):
                    self._take(place, partial(self._one, *place))
                else:
                    self.outcome.pending.append(place[1])
            self._together(first, keep_going=self.keep_going)
            rest = others[len(first) :]
            if all(name in self.outcome.done for _, name in first):
                self._together(rest, keep_going=self.keep_going)
            else:
                self.outcome.pending += [name for _, name in rest]
        self.outcome.sort(self.databases.names)
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
                for future in wait(running, return_when=FIRST_COMPLETED).done:
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


def places(databases: Databases, names: Collection[str] | None) -> list[Place]:
    """The databases that are named, or all, with their histories."""
    found = histories(databases, names)
    for history in found:
        history.load()
    order = {name: (history, name) for history in found for name in history.databases}
    return [order[name] for name in databases.names if name in order]


@dataclass(frozen=True)
class How:
    """``jobs`` databases at a time; after one that fails, ``keep_going`` or not; the first ``canary`` before all."""

    jobs: int = 8
    keep_going: bool = False
    canary: int = 0


def move(
    databases: Databases, order: Order, names: Collection[str] | None, how: How, agree: Agree
) -> Outcome[Migrated]:
    """As ``order`` says, in each of these databases that is not there yet.

    All are looked at first; ``agree`` then sees the plans of those that have something to do, and may raise.
    """
    if ":" in order.destination:
        raise ConfigurationError(
            f"{order.destination!r}: from:to is for the SQL that --sql writes, not for a database."
        )
    every = places(databases, names)
    observer, stopping = order.observer, order.stopping
    looked = planned(databases, order, every, jobs=how.jobs, keep_going=how.keep_going)
    outcome: Outcome[Migrated] = Outcome(failed=looked.failed, interrupted=looked.interrupted)
    plans = {name: each for name, each in looked.done.items() if each.steps}
    outcome.done = {
        name: Migrated(name, each.before, each.before, (), 0.0) for name, each in looked.done.items() if not each.steps
    }
    if (looked.failed and not how.keep_going) or stopping.is_set():
        outcome.pending = [name for _, name in every if name not in outcome.done and name not in outcome.failed]
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
