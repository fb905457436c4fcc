"""Work for the end of an event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import AsyncGenerator
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
