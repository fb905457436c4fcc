"""Tenant health: whether the directory of a database with tenants answers, and what of it can be asked at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Literal
from weakref import WeakKeyDictionary

from sqlalchemy.util import greenlet_spawn

from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.tenants import AT, has_own_url

DirectoryState = Literal["ok", "timeout", "failed"]

threads: WeakKeyDictionary[Databases, dict[str, Future[None]]] = WeakKeyDictionary()


async def ask_directory(databases: Databases, name: str, timeout: float) -> DirectoryState:
    """Asked about somebody whom nobody knows, as a session would ask it."""
    try:
        async with asyncio.timeout(timeout):
            try:
                await in_thread(databases, name)
            except ConfigurationError:  # it has an async driver, or async functions, only
                await greenlet_spawn(databases.tenants.ask_about_nobody, name, databases, asyncio=True)
    except TimeoutError:
        return "timeout"
    except Exception:
        return "failed"
    return "ok"


async def in_thread(databases: Databases, name: str) -> None:
    """In one that is still there from an earlier question, if that had no answer."""
    asked = threads.setdefault(databases, {})
    if name not in asked or asked[name].done():
        asked[name] = Future()
        question = partial(databases.tenants.ask_about_nobody, name, databases, asyncio=False)
        Thread(target=answer, args=(asked[name], question), name="manybase health", daemon=True).start()
    await asyncio.shield(asyncio.wrap_future(asked[name]))


def answer(future: Future[None], question: Callable[[], None]) -> None:
    try:
        question()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(None)


def shared_parts(databases: Databases, name: str) -> list[Database]:
    """What all tenants, or those of one shard, share: none, where each has a database of its own."""
    declared = databases[name]
    if has_own_url(declared):
        return []
    if declared.shards:
        return [databases[f"{name}{AT}{shard}"] for shard in declared.shards]
    return [declared]
