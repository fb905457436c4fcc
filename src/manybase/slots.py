"""Slots: who may take connections from several pools at once, so that nobody waits for somebody who waits for him.

Two transactions that take connections from two pools in opposite order can wait for each other for ever. A slot is
the right to one connection of a database; a transaction asks for all it may need at once and gets all or nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock
from typing import Any

from manybase.errors import Overloaded

Needs = Mapping[Any, int]  # of a database, by name


class Slots:
    """A counter of free connections per database; a database that is not in ``capacity`` is not bounded.

    Served in order of arrival, except that one who waits for database A holds up nobody who needs only B.
    """

    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._capacity = dict(capacity)
        self._free = dict(capacity)
        self._waiting: dict[Future[None], Needs] = {}
        self._dropped: deque[Needs] = deque()
        self._lock = Lock()

    def bound(self, name: str, capacity: int) -> None:
        """From now on there are no more than ``capacity`` of ``name``; nothing changes if that is known."""
        with self._lock:
            self._free[name] = self._free.get(name, 0) + capacity - self._capacity.get(name, 0)
            self._capacity[name] = capacity

    def try_take(self, needs: Needs) -> bool:
        with self._lock:
            if self._dropped:
                self._serve()  # others may have waited for it
            taken = not (self._waiting or self._lacking(needs))
            if taken:
                self._take(needs)
        if self._dropped:
            self._serve_dropped()
        return taken

    def request(self, needs: Needs) -> Future[None]:
        """A future that is done once the slots are taken."""
        future: Future[None] = Future()
        with self._lock:
            self._enter(future, needs)
            self._serve()
        self._serve_dropped()
        return future

    def _enter(self, future: Future[None], needs: Needs) -> None:
        self._waiting[future] = needs

    def withdraw(self, future: Future[None], needs: Needs) -> None:
        """Leave the queue, or give back what was granted in the meantime."""
        with self._lock:
            if self._waiting.pop(future, None) is None:
                self._give_back(needs)
            self._serve()
        self._serve_dropped()

    def release(self, needs: Needs) -> None:
        with self._lock:
            self._give_back(needs)
            if self._waiting or self._dropped:
                self._serve()
        if self._dropped:
            self._serve_dropped()

    def drop(self, needs: Needs) -> None:
        """Give back from a finalizer, which may run while this very thread holds the lock: never wait for it."""
        self._dropped.append(needs)
        self._serve_dropped()

    def _serve_dropped(self) -> None:
        # Asked after every release of the lock: what was dropped while somebody held it is served by whoever held it.
        while self._dropped and self._lock.acquire(blocking=False):
            try:
                self._serve()
            finally:
                self._lock.release()

    def refusal(self, needs: Needs, seconds: float) -> Overloaded:
        """What is raised after that time."""
        return Overloaded(needs, seconds)

    def _collect_dropped(self) -> None:
        while self._dropped:
            self._give_back(self._dropped.popleft())

    def _serve(self) -> None:
        self._collect_dropped()
        short: set[str] = set()  # databases an earlier one is waiting for: later ones must not overtake it there
        for future, needs in list(self._waiting.items()):
            lacking = self._lacking(needs)
            if future.cancelled():
                continue  # whoever cancelled it withdraws it
            if not lacking and short.isdisjoint(needs) and future.set_running_or_notify_cancel():
                del self._waiting[future]
                self._take(needs)
                future.set_result(None)
            short |= lacking

    def _lacking(self, needs: Needs) -> set[str]:
        # More than there ever is: then all of them must do, waiting longer would not help.
        return {
            name
            for name, count in needs.items()
            if name in self._free and self._free[name] < min(count, self._capacity[name])
        }

    def _take(self, needs: Needs) -> None:
        for name, count in needs.items():
            if name in self._free:
                self._free[name] -= count if count <= self._capacity[name] else self._capacity[name]

    def _give_back(self, needs: Needs) -> None:
        for name, count in needs.items():
            if name in self._free:
                self._free[name] += count if count <= self._capacity[name] else self._capacity[name]


class Ticket:
    """The slots of one transaction or one request: taken before its first connection, given back after its last."""

    __slots__ = ("_needs", "_retired", "_slots", "_timeout", "_turn", "taken")

    def __init__(self, slots: Slots, needs: Needs, timeout: float) -> None:
        self._slots = slots
        self._needs = needs
        self._timeout = timeout
        self._retired = False
        self._turn: asyncio.Lock | None = None
        self.taken = False

    def take(self) -> None:
        """Wait for the slots in this thread; ``Overloaded`` after the timeout."""
        if self.take_at_once():
            return
        future = self._slots.request(self._needs)
        try:
            future.result(self._timeout)
        except BaseException as error:
            self._give_up(future, error)
        self.taken = True

    async def take_async(self) -> None:
        """Wait for the slots without holding a thread; ``Overloaded`` after the timeout."""
        if self.take_at_once():
            return
        self._turn = self._turn or asyncio.Lock()  # several sessions of a request may ask while the first one waits
        async with self._turn:
            await self._wait()

    async def _wait(self) -> None:
        if self.taken:
            return
        future = self._slots.request(self._needs)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.wrap_future(future)
        except BaseException as error:
            self._give_up(future, error)
        self.taken = True

    def retire(self) -> None:
        """Release, and take nothing any more: a session used after its request is refused, and must hold nothing."""
        self._retired = True
        self.release()

    def release(self) -> None:
        if self.taken:
            self.taken = False
            self._slots.release(self._needs)

    def take_at_once(self) -> bool:
        """Take the slots if nobody has to wait for them; whether there is nothing left to wait for."""
        if not self.taken:
            self.taken = not self._retired and self._slots.try_take(self._needs)
        return self.taken or self._retired

    def _give_up(self, future: Future[None], error: BaseException) -> None:
        if isinstance(error, TimeoutError) and future.done() and not future.cancelled():
            return  # granted in time: an event loop that could not run meanwhile hears of both at once
        self._slots.withdraw(future, self._needs)
        if isinstance(error, TimeoutError):
            raise self._slots.refusal(self._needs, self._timeout) from None
        raise error

    def __del__(self) -> None:
        if self.taken:  # a session that was dropped without close()
            self._slots.drop(self._needs)


class BothTickets:
    """Two tickets as one: the second is taken while the first is held, always in this order."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Ticket, second: Ticket) -> None:
        self._first = first
        self._second = second

    @property
    def taken(self) -> bool:
        return self._first.taken and self._second.taken

    def take(self) -> None:
        self._first.take()
        try:
            self._second.take()
        except BaseException:
            self._first.release()
            raise

    async def take_async(self) -> None:
        await self._first.take_async()
        try:
            await self._second.take_async()
        except BaseException:
            self._first.release()
            raise

    def take_at_once(self) -> bool:
        if not self._first.take_at_once():
            return False
        if self._second.take_at_once():
            return True
        self._first.release()
        return False

    def retire(self) -> None:
        self._second.retire()
        self._first.retire()

    def release(self) -> None:
        self._second.release()
        self._first.release()
