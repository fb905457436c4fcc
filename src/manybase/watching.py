"""Watching: the replicas, looked at in the background of an application, so that no request has to."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from sqlalchemy import Connection

from manybase.background import Jobs
from manybase.engines import Databases
from manybase.looking import note_log, note_look
from manybase.recovering import served
from manybase.replicas import LOOK_EVERY, Replica, ReplicaSet
from manybase.serving import LOOK_TIMEOUT

logger = logging.getLogger("manybase.replicas")

PATIENCE = 5.0  # seconds that a shutdown waits for a thread


@asynccontextmanager
async def watching(databases: Databases, every: float = LOOK_EVERY) -> AsyncIterator[None]:
    """Inside the block, replicas that are out come back, and those that fall behind go, without a session noticing.

    Each replica and its primary are asked every ``every`` seconds or so, on one connection that is kept for it. Without
    this, the sessions do it: one of them now and then. Nothing runs where there are no replicas.
    """
    if not databases.replicas:
        yield
        return
    watcher = Watcher(databases, every)
    databases.replicas.watched += 1
    task = asyncio.create_task(watcher.run(), name="manybase replicas")
    try:
        yield
    finally:
        databases.replicas.watched -= 1
        await watcher.stop(task)


class Watcher:
    def __init__(self, databases: Databases, every: float) -> None:
        self.databases = databases
        self.every = every
        names = [name for each in databases.replicas.values() for name in (each.database, *each.states)]
        self.asyncio = served(databases, names, asyncio=True)
        self.kept: dict[str, Connection] = {}
        self.jobs = Jobs(LOOK_TIMEOUT, asyncio=self.asyncio)
        self.states: dict[str, str] = {}

    async def run(self) -> None:
        while True:
            if not self.databases.is_taken_over:  # else these are tests, and sessions read where they write
                await asyncio.gather(*(self._look_at(replicas) for replicas in self.databases.replicas.values()))
            await asyncio.sleep(self.every * random.uniform(0.8, 1.2))

    async def _look_at(self, replicas: ReplicaSet) -> None:
        """The primary first: what it has written by then is what the replicas may lack."""
        await self._ask(replicas.database, partial(note_log, replicas))
        await asyncio.gather(*(self._look_at_one(replicas, each) for each in replicas))
        for each in replicas:
            self._tell(each)

    async def _look_at_one(self, replicas: ReplicaSet, replica: Replica) -> None:
        if not await self._ask(replica.name, partial(note_look, replicas, replica)):
            replica.note_failure(time.monotonic())

    async def _ask(self, name: str, question: Callable[[Connection], None]) -> bool:
        """Whether it has answered in time."""
        try:
            await self.jobs.run(name, partial(self._on_kept, name, question))
        except Exception:
            return False
        return True

    def _on_kept(self, name: str, question: Callable[[Connection], None]) -> None:
        connection = self.kept.pop(name, None)
        if connection is None:
            connection = self.databases.aside(name, asyncio=self.asyncio).connect()
        try:
            question(connection)
        except BaseException as error:
            connection.invalidate(error)
            connection.close()
            raise
        self.kept[name] = connection

    def _tell(self, replica: Replica) -> None:
        before = self.states.get(replica.name, "ok")
        self.states[replica.name] = replica.state
        if replica.state != before:
            level = logging.INFO if replica.serves else logging.WARNING
            logger.log(level, "Replica %s is %s.", replica.name, replica.state)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Nothing of it is left."""
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        await self.jobs.wait(PATIENCE)
        kept, self.kept = self.kept, {}
        for name, connection in kept.items():
            with suppress(Exception):
                await self.jobs.run(name, connection.close)
