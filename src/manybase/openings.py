"""Openings: the connections of a process that are open, never more than it may have."""

from __future__ import annotations

import asyncio as aio
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

from manybase.connecting import Connect
from manybase.errors import Overloaded

LINGERS = 0.02  # seconds for which a server may count a connection that was closed
TURN = 0.005  # seconds between two looks whether there is room
taking_idle: ContextVar[bool] = ContextVar("manybase_taking_idle", default=False)


class NothingIdle(Exception):
    """A pool that was asked for an idle connection had none."""


class Openings:
    """Counts what the engines that it watches have open; one more waits until there is room.

    ``close_idle`` closes connections that nobody uses, and says whether it has closed any.
    """

    def __init__(self, most: int, timeout: float, close_idle: Callable[[bool], bool]) -> None:
        self.most = most
        self._timeout = timeout
        self._close_idle = close_idle
        self._lock = Lock()
        self._count = 0
        self._open: set[int] = set()
        self._closed: deque[float] = deque()

    @property
    def open(self) -> int:
        return self._count

    def watch(self, engine: Engine) -> None:
        """Notice what an engine closes, which connects by what ``counting`` made."""
        event.listen(engine.pool, "close", self._note_close)
        event.listen(engine.pool, "close_detached", self._note_close)

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
            self._open.add(id(connection))
            return connection

        return counted

    def _make_room(self, *, asyncio: bool) -> None:
        until = time.monotonic() + self._timeout
        while not self._take():
            if self._has_closed() or self._close_idle(asyncio):
                if self._take():
                    return
            elif time.monotonic() > until:
                raise Overloaded((), self._timeout, limits={"max_connections": self.most})
            if asyncio:
                await_only(aio.sleep(TURN))
            else:
                time.sleep(TURN)

    def _take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            while self._closed and now - self._closed[0] > LINGERS:
                self._closed.popleft()
            if self._count + len(self._closed) >= self.most:
                return False
            self._count += 1
            return True

    def _has_closed(self) -> bool:
        """Whether there will be room, once a server has noticed."""
        return bool(self._closed) and self._count < self.most

    def _note_close(self, connection: Any, *_: Any) -> None:
        with self._lock:
            if id(connection) in self._open:
                self._open.discard(id(connection))
                self._count -= 1
                self._closed.append(time.monotonic())


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
            except NothingIdle:
                continue
            idle.invalidate()
            idle.close()
            return True
    finally:
        taking_idle.reset(token)
    return False
