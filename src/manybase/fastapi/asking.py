"""Asking who a tenant is, from the event loop of an application, which must not stop for it."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Iterable
from typing import TypeVar
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.util import greenlet_spawn

from manybase import Databases

T = TypeVar("T")

# Threads of their own: a directory that does not answer must not keep commits from theirs.
THREADS = 20
limiters: WeakKeyDictionary[AbstractEventLoop, CapacityLimiter] = WeakKeyDictionary()


async def asked(
    databases: Databases, tenant: str | None, names: Iterable[str], question: Callable[[], T], *, asyncio: bool
) -> T:
    """What ``question`` returns, which may ask the directories of these databases where ``tenant`` is."""
    if tenant is None or all(databases.tenants.is_known(name, tenant) for name in names if name in databases.tenants):
        return question()
    if asyncio:
        return await greenlet_spawn(question)
    loop = get_running_loop()
    if loop not in limiters:
        limiters[loop] = CapacityLimiter(THREADS)
    return await run_sync(question, limiter=limiters[loop])
