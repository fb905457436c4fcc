"""Finishing what has begun: a cancelled task still waits for the end of its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")

# Threads of our own: the default ones may all be busy with routes that wait for what is committed here.
limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, CapacityLimiter] = WeakKeyDictionary()
THREADS = 40


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end, even if this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:
            break  # raised again by result()
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking work in a thread that no route can occupy."""
    loop = asyncio.get_running_loop()
    if loop not in limiters:
        limiters[loop] = CapacityLimiter(THREADS)
    return await run_sync(lambda: work(*arguments, **options), limiter=limiters[loop])
