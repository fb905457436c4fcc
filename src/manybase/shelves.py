"""Shelves: where the engines that were made are kept, one shelf for threads and one for each event loop."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Iterator
from dataclasses import dataclass
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase.forking import leave_to_parent

Loop = aio.AbstractEventLoop


@dataclass(frozen=True, slots=True)
class Kept:
    """An engine, and where it stands. ``loop`` is None for threads, and where no loop has asked yet."""

    name: str
    engine: Engine
    asyncio: bool
    loop: Loop | None


class Shelves:
    """The engines by name. Whoever adds or takes one holds ``lock``; whoever looks one up need not."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.sync: dict[str, Engine] = {}
        self._loops: WeakKeyDictionary[Loop, dict[str, AsyncEngine]] = WeakKeyDictionary()
        self._loopless: dict[str, AsyncEngine] = {}  # made outside a loop: the first loop that asks gets them

    def of_loop(self) -> dict[str, AsyncEngine]:
        """The async engines of the running event loop."""
        loop = running_loop()
        if loop is None:
            return self._loopless
        try:
            return self._loops[loop]
        except KeyError:
            with self.lock:
                made, self._loopless = self._loopless, {}
                return self._loops.setdefault(loop, made)

    def __iter__(self) -> Iterator[Kept]:
        """All engines, of threads and of every loop."""
        with self.lock:
            kept = [Kept(name, engine, False, None) for name, engine in self.sync.items()]
            for loop, engines in [(None, self._loopless), *self._loops.items()]:
                kept += [Kept(name, engine.sync_engine, True, loop) for name, engine in engines.items()]
        return iter(kept)

    def __len__(self) -> int:
        """How many event loops have engines."""
        return len(self._loops)

    def take(self, kept: Kept) -> bool:
        """Take an engine off its shelf; whether it was there."""
        with self.lock:
            engines: dict[str, Any] = self.sync
            if kept.asyncio:
                engines = self._loopless if kept.loop is None else self._loops.get(kept.loop, {})
            found = engines.get(kept.name)
            if found is None or (found.sync_engine if isinstance(found, AsyncEngine) else found) is not kept.engine:
                return False
            del engines[kept.name]
            return True

    def forget_loops(self) -> None:
        """In a forked child: the loops stayed with the parent."""
        self.lock = RLock()
        leave_to_parent(*self._loops.items(), self._loopless)
        self._loops = WeakKeyDictionary()
        self._loopless = {}


def running_loop() -> Loop | None:
    try:
        return aio.get_running_loop()
    except RuntimeError:
        return None
