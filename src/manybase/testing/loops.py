"""Endings under asyncio: work that a cancellation must not cut short, and work for the end of an event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, create_task, get_running_loop, wait
from collections.abc import AsyncGenerator, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from manybase.engines import Databases

Waiting = AsyncGenerator[None, None]

waiting_in: WeakKeyDictionary[AbstractEventLoop, WeakKeyDictionary[Databases, Waiting]] = WeakKeyDictionary()


async def dispose_with_loop(databases: Databases) -> None:
    """Dispose the async engines of the running event loop when it ends, also where no application does.

    Test runners give each test a loop of its own; its engines would keep connections that nothing can close later.
    A loop that ends closes the async generators that are still open in it.
    """
    waiting = waiting_in.setdefault(get_running_loop(), WeakKeyDictionary())
    if databases not in waiting:
        waiting[databases] = wait_and_dispose(databases)
        await anext(waiting[databases])


async def wait_and_dispose(databases: Databases) -> Waiting:
    try:
        yield
    finally:
        await databases.adispose()


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` although this task is being cancelled; the cancellation is raised afterwards."""
    task = create_task(work)
    cancelled: CancelledError | None = None
    while not task.done():
        try:
            await wait([task])
        except CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
