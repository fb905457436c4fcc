"""Finishing what has begun: a cancelled task still waits for the end of its commit, and of its thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from threading import get_ident
from traceback import walk_stack
from types import FrameType
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from manybase.concurrency import to_the_end

P = ParamSpec("P")
T = TypeVar("T")

# Threads of our own: the default ones may all be busy with routes that wait for what is committed here.
limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, CapacityLimiter] = WeakKeyDictionary()
THREADS = 40

unfinished: WeakKeyDictionary[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = WeakKeyDictionary()


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end, even if this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    begun = unfinished.setdefault(asyncio.get_running_loop(), set())
    begun.add(task)
    task.add_done_callback(begun.discard)
    return await to_the_end(task)


async def finished(*, timeout: float) -> None:
    """Wait for all that has begun in this event loop: a server that shuts down cancels its requests, then the loop."""
    if tasks := unfinished.get(asyncio.get_running_loop()):
        await asyncio.wait(tasks, timeout=timeout)


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking work in a thread that no route can occupy."""
    loop = asyncio.get_running_loop()
    if loop not in limiters:
        limiters[loop] = CapacityLimiter(THREADS)
    return await run_sync(lambda: work(*arguments, **options), limiter=limiters[loop])


async def released_by_threads(thing: object) -> None:
    """Wait until no thread works with ``thing``: a task that is cancelled leaves the thread of its route running."""
    while True:
        await asyncio.sleep(0.02)  # first: a thread may be just about to call the route
        others = (frame for thread, frame in sys._current_frames().items() if thread != get_ident())
        if not any(holds(frame, thing) for frame in others):
            return


def holds(innermost: FrameType, thing: object) -> bool:
    """Whether a call of this thread was given ``thing``, as an argument or among the arguments it passes on."""
    for frame, _ in walk_stack(innermost):
        for value in frame.f_locals.values():
            if value is thing or (isinstance(value, dict) and any(each is thing for each in value.values())):
                return True
    return False
