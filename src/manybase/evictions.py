"""Evictions: tenant engines and idle connections that are closed so that others can be opened."""

from __future__ import annotations

import asyncio as aio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Engine, QueuePool
from sqlalchemy.util import greenlet_spawn

from manybase.budget import Budget
from manybase.openings import close_one_idle
from manybase.shelves import Kept, Loop, Shelves, running_loop
from manybase.tenant_engines import TenantEngine


class Evictions:
    """Closes tenant engines that nobody uses: those idle for ``idle`` seconds, and for others the least recently used.

    An engine is in use while a session has a lease of it, or anybody a connection. What belongs to an event loop is
    closed there, whoever asks.
    """

    def __init__(self, shelves: Shelves, budget: Budget | None, most: int, idle: float) -> None:
        self.count = 0
        self.suspended = False
        self.budget = budget
        self._shelves = shelves
        self._most = most
        self._idle = idle
        self._looked = time.monotonic()
        self._closing: set[aio.Future[None] | Future[None]] = set()
        # Somebody may hold an engine that was evicted, and connect once more.
        self._evicted: WeakKeyDictionary[Engine, tuple[bool, ref[Loop] | None]] = WeakKeyDictionary()

    def make_room(self) -> None:
        """Before one more engine is made: close what has been idle, and one more where there are too many."""
        with self._shelves.lock:
            self.close_idle()
            kept = self.engines()
            for each in self._unused() if kept >= self._most else ():
                if kept < self._most:
                    return
                kept -= self._evict(each)

    def close_idle(self) -> None:
        """Close the tenant engines that nobody has used for long."""
        self._looked = time.monotonic()
        for each in self._unused():
            if self._looked - last_used(each) < self._idle:
                return
            self._evict(each)

    def touch(self, engine: TenantEngine) -> None:
        """Somebody asked for that engine; now and then also look for those that nobody asks for."""
        engine.last_used = time.monotonic()
        if engine.last_used - self._looked > self._idle / 10:
            self.close_idle()

    def engines(self) -> int:
        """How many tenant engines there are."""
        return sum(isinstance(each.engine, TenantEngine) for each in self._shelves)

    def free_connection(self) -> bool:
        """Close connections that nobody uses, those of unused tenant engines first; whether there were any."""
        if any(has_idle(each.engine) and self._evict(each) for each in self._unused()):
            return True
        return not self.suspended and any(has_idle(each.engine) and self._close_one(each) for each in self._all())

    def drop(self, name: str) -> None:
        """Close the engines of a part that is gone."""
        for each in self._shelves:
            if each.name == name and self._shelves.take(each):
                self._close(each, each.engine.dispose)

    async def finish(self) -> None:
        """Wait until everything that this loop closes is closed."""
        loop = running_loop()
        while closing := [each for each in self._closing if isinstance(each, aio.Future) and each.get_loop() is loop]:
            await aio.wait(closing)

    def forget(self, budget: Budget | None) -> None:
        """In a forked child: what is being closed is the parent's."""
        self.budget = budget
        self._closing = set()
        self._evicted = WeakKeyDictionary()

    def _unused(self) -> list[Kept]:
        """The tenant engines that nobody uses, the least recently used one first."""
        found = [each for each in self._shelves if isinstance(each.engine, TenantEngine) and not self._is_used(each)]
        return sorted(found, key=last_used)

    def _is_used(self, kept: Kept) -> bool:
        leased = self.budget is not None and self.budget.is_leased(place_of(kept.name, kept.loop))
        pool = kept.engine.pool
        return leased or (isinstance(pool, QueuePool) and pool.checkedout() > 0)

    def _evict(self, kept: Kept) -> bool:
        with self._shelves.lock:
            if self.suspended or self._is_used(kept) or not self._shelves.take(kept):
                return False
            self.count += 1
            self._evicted[kept.engine] = kept.asyncio, None if kept.loop is None else ref(kept.loop)
        self._close(kept, kept.engine.dispose)
        return True

    def _close_one(self, kept: Kept) -> bool:
        if kept.asyncio and kept.loop is not running_loop():
            return self._close(kept, lambda: close_one_idle(kept.engine))
        return close_one_idle(kept.engine)

    def _close(self, kept: Kept, close: Callable[[], object]) -> bool:
        """Close, now or in its loop; whether it is going to happen soon."""
        if not kept.asyncio:
            close()
            return True
        loop = kept.loop
        if loop is None or loop.is_closed():
            kept.engine.dispose(close=False)  # nobody could await the end of a connection; it goes with its socket
            return True
        if loop is running_loop():
            self._note(loop.create_task(closed(close)))
            return True
        if not loop.is_running():
            return False
        self._note(aio.run_coroutine_threadsafe(closed(close), loop))
        return True

    def _note(self, future: aio.Future[None] | Future[None]) -> None:
        self._closing.add(future)
        future.add_done_callback(self._closing.discard)

    def _all(self) -> Iterator[Kept]:
        yield from self._shelves
        for engine, (asyncio, loop) in [*self._evicted.items()]:
            yield Kept("", engine, asyncio, None if loop is None else loop())


async def closed(close: Callable[[], object]) -> None:
    await greenlet_spawn(close)


def place_of(name: str, loop: Loop | None) -> tuple[str, int]:
    """What the budget calls the engine of a tenant's part of a database."""
    return name, 0 if loop is None else id(loop)


def last_used(kept: Kept) -> float:
    assert isinstance(kept.engine, TenantEngine)
    return kept.engine.last_used


def has_idle(engine: Engine) -> bool:
    pool = engine.pool
    return isinstance(pool, QueuePool) and pool.checkedin() > 0
