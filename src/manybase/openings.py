"""Openings: the connections of a process that are open, never more than it may have."""

from __future__ import annotations

import asyncio as aio
import gc
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from threading import RLock
from typing import Any
from weakref import finalize

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

from manybase.connecting import Connect
from manybase.errors import Overloaded

LINGERS = 0.02  # seconds for which a server may count a connection that was closed
OPENED = "manybase_opened"  # of a record of a pool: what is called when it is dropped
TURN = 0.005  # seconds between two looks whether there is room
taking_idle: ContextVar[bool] = ContextVar("manybase_taking_idle", default=False)


class NothingIdle(Exception):
    """A pool that was asked for an idle connection had none."""


class Openings:
    """Counts what the engines that it watches have open; one more waits until there is room.

    ``close_idle`` closes connections that nobody uses, and says whether it has closed any.
    """

    def __init__(self, most: int, timeout: float, close_idle: Callable[[], bool]) -> None:
        self.most = most
        self._timeout = timeout
        self._close_idle = close_idle
        self.forget()

    def forget(self) -> None:
        """In a forked child: what is open is the parent's. The pools keep to these very openings."""
        self._lock = RLock()  # the garbage collector may close a connection of a thread that counts at this moment
        self._count = 0
        self._collected = 0.0
        self._wanted = 0  # those that wait for room
        self._open: dict[int, finalize[Any, Any]] = {}
        self._lost: deque[int] = deque()
        self._closed: deque[float] = deque()

    @property
    def open(self) -> int:
        """How many there are. Those that somebody dropped without closing them have been closed by that."""
        return self._count - len(self._lost)

    def watch(self, engine: Engine) -> None:
        """Notice what an engine closes, which connects by what ``counting`` made."""
        event.listen(engine.pool, "close", self._note_close)
        event.listen(engine.pool, "close_detached", self._note_close)
        event.listen(engine.pool, "detach", self._note_detach)

    def counting(self, connect: Connect) -> Connect:
        """What connects once there is room."""

        def counted(dialect: Dialect, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
            if taking_idle.get():
                raise NothingIdle
            self._make_room(asyncio=dialect.is_async)
            try:
                connection = connect(dialect, record, arguments, options)
            except BaseException:
                with self._lock:
                    self._count -= 1
                raise
            self._note_open(connection, record)
            return connection

        return counted

    def _make_room(self, *, asyncio: bool) -> None:
        if self._take():
            return
        until = time.monotonic() + self._timeout
        with self._lock:
            self._wanted += 1
        try:
            while not self._take():
                freed = self._has_closed() or self._close_idle() or self._collect_garbage()
                if not freed and time.monotonic() > until:
                    raise Overloaded((), self._timeout, limits={"max_connections": self.most})
                if asyncio:
                    await_only(aio.sleep(TURN))
                else:
                    time.sleep(TURN)
        finally:
            with self._lock:
                self._wanted -= 1

    def _collect_garbage(self) -> bool:
        """Look whether what stands in the way is of an event loop that ended, now and then; whether it was."""
        now = time.monotonic()
        if now - self._collected < 1:
            return False
        self._collected = now
        gc.collect()
        return bool(self._lost)

    def _take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._collect_lost(now)
            while self._closed and now - self._closed[0] > LINGERS:
                self._closed.popleft()
            if self._count + len(self._closed) >= self.most:
                return False
            self._count += 1
            return True

    def _has_closed(self) -> bool:
        """Whether there will be room for all who wait, once a server has noticed."""
        return len(self._closed) >= self._wanted and self._count < self.most

    def _note_open(self, connection: Any, record: Any) -> None:
        opened = self._dropped_with(connection if record is None else record, connection)
        if record is not None:
            earlier = record.record_info.get(OPENED)
            if earlier is not None:
                earlier()  # counts as lost, unless it was closed: a listener refused it, for instance
            record.record_info[OPENED] = opened
            with suppress(TypeError):  # nobody can see one of SQLite's go
                finalize(getattr(connection, "driver_connection", connection), opened).atexit = False
        with self._lock:
            self._open[id(connection)] = opened

    def _note_detach(self, connection: Any, record: Any) -> None:
        """From now on the pool knows nothing of it, so it is lost when nobody else has it."""
        if record.record_info.pop(OPENED).detach() is not None:
            opened = self._dropped_with(getattr(connection, "driver_connection", connection), connection)
            with self._lock:
                self._open[id(connection)] = opened

    def _dropped_with(self, holder: Any, connection: Any) -> finalize[Any, Any]:
        try:
            opened = finalize(holder, self._lost.append, id(connection))
        except TypeError:  # nobody can see it go
            opened = finalize(type(self), self._lost.append, id(connection))
        opened.atexit = False
        return opened

    def _note_close(self, connection: Any, *_: Any) -> None:
        with self._lock:
            dropped = self._open.pop(id(connection), None)
            if dropped is not None and dropped.detach() is not None:
                self._count -= 1
                self._closed.append(time.monotonic())

    def _collect_lost(self, now: float) -> None:
        """Count those that were dropped without being closed, such as with the pool of an event loop that ended."""
        while self._lost:
            number = self._lost.popleft()
            opened = self._open.get(number)
            if opened is not None and not opened.alive:
                self._open.pop(number, None)  # unless the garbage collector has just closed it
            self._count -= 1
            self._closed.append(now)


def close_one_idle(engine: Engine) -> bool:
    """Close one connection of a pool that nobody uses; whether there was one. In the greenlet of an async engine."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return False
    token = taking_idle.set(True)
    try:
        for _ in range(pool.checkedin()):
            try:
                idle = pool.connect()
            except (NothingIdle, PoolTimeout):  # which may come from a pool whose last one was taken meanwhile
                continue
            idle.invalidate()
            idle.close()
            return True
    finally:
        taking_idle.reset(token)
    return False
