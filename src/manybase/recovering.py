"""Recovering: recovery in the background of an application, every minute and at once for what it could not finish."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from threading import Event

from sqlalchemy import Connection

from manybase import decision
from manybase.background import Jobs
from manybase.doctor import Finding, adiagnose, conclude, examine, parts
from manybase.drivers import with_driver
from manybase.engines import Databases, needs_tenant
from manybase.errors import ConfigurationError
from manybase.gid import Gid, Xid
from manybase.participants import MYSQL, backend_of
from manybase.recovery import MIN_AGE, Pass, Resolution

logger = logging.getLogger("manybase.recovery")

SOON = 1.0  # seconds until the first pass, at most
AGAIN = 0.5  # seconds until what was handed over is tried again; then twice as long, and so on
BOUND = 30.0  # seconds that one database may take in one pass
PATIENCE = 5.0  # seconds that a shutdown waits for a thread


@asynccontextmanager
async def recovering(databases: Databases, every: float = 60.0, *, min_age: float = MIN_AGE) -> AsyncIterator[None]:
    """Inside the block, this process ends the transactions that are in doubt, of other processes too.

    Every ``every`` seconds those that are older than ``min_age``, and at once what this process could not finish
    itself. Of several processes one at a time is at it in each database. Once all databases answer, the log says what
    the doctor finds wrong with them. Nothing runs where nothing can be in doubt: with one database, or with SQLite
    only.
    """
    if not is_needed(databases):
        yield
        return
    poller = Poller(databases, every, min_age)
    databases.unfinished.wakers.add(poller.wake)
    task = asyncio.create_task(poller.run(), name="manybase recovery")
    try:
        yield
    finally:
        databases.unfinished.wakers.discard(poller.wake)
        await poller.stop(task)


def relevant(databases: Databases) -> dict[str, str]:
    """The databases that take part in atomic commits, and what each is."""
    backends = {name: backend_of(databases, name) for name in databases.names}
    return {name: backend for name, backend in backends.items() if backend and backend in decision.BY_DIALECT}


def is_needed(databases: Databases) -> bool:
    backends = relevant(databases)
    return len(backends) > 1 and any(each in ("postgresql", *MYSQL) for each in backends.values())


def served(databases: Databases, names: Iterable[str], *, asyncio: bool) -> bool:
    """Whether all of them have a driver for this. Nothing connects."""
    try:
        for name in names:
            if name in databases.tenants and needs_tenant(databases[name]):
                declared = databases[name]
                for url in [*declared.shards.values()] or [declared.resolve_url()]:
                    with_driver(name, url, asyncio=asyncio)
            else:
                databases.aside(name, asyncio=asyncio)
    except ConfigurationError:
        return False
    return True


class Stopped(Exception):
    """The application shuts down."""


class Visits(Pass):
    """A pass that ends what was handed over, whatever its age; ``full``: also what is old enough. It can be stopped."""

    def __init__(self, databases: Databases, min_age: float, stopped: Event, *, full: bool, asyncio: bool) -> None:
        super().__init__(databases, None, min_age, polite=full, asyncio=asyncio)
        self.full = full
        self.wanted = frozenset(databases.unfinished.transactions)
        self.stopped = stopped

    def _is_due(self, each: Gid | Xid, age: float) -> bool:
        return each.transaction in self.wanted or (self.full and age >= self.min_age)

    @contextmanager
    def connected(self, name: str) -> Iterator[Connection]:
        if self.stopped.is_set():
            raise Stopped
        with super().connected(name) as connection:
            yield connection


class Poller:
    def __init__(self, databases: Databases, every: float, min_age: float) -> None:
        self.databases = databases
        self.every = every
        self.min_age = min_age
        self.asyncio = served(databases, relevant(databases), asyncio=True)
        self.loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()
        self.again = AGAIN
        self.stopped = Event()
        self.warned = False
        self.jobs = Jobs(BOUND, asyncio=self.asyncio)
        self.said: set[object] = set()

    def wake(self) -> None:
        """Something was handed over; called from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self.again = AGAIN
        self.woken.set()

    async def run(self) -> None:
        due = self.loop.time() + random.uniform(0, min(SOON, self.every))
        while True:
            await self._until(due)
            full = self.loop.time() >= due
            try:
                if not self.databases.is_taken_over:  # else these are tests, and nothing is committed
                    all_answer = await self._pass(full=full)
                    if all_answer and not self.warned:
                        await self._warn()
            except Stopped:
                return
            except Exception as error:
                logger.warning("A pass of recovery failed (%s). The next one comes.", type(error).__name__)
            if full:
                due = self.loop.time() + self.every * random.uniform(0.8, 1.2)

    async def _until(self, due: float) -> None:
        """Until then, or until something is handed over, or what was is to be tried again."""
        wait = due - self.loop.time()
        if self.databases.unfinished.transactions:
            wait = min(wait, self.again)
            self.again *= 2
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, wait)):
                await self.woken.wait()
        self.woken.clear()

    async def _pass(self, *, full: bool) -> bool:
        """Whether all databases have answered."""
        this = Visits(self.databases, self.min_age, self.stopped, full=full, asyncio=self.asyncio)
        async with asyncio.TaskGroup() as group:
            for name in this.two_phase:
                group.create_task(self._visit(this, name))
        if full and not this.report.unreachable:
            await self.jobs.run("", this.forget)
        if self.stopped.is_set():
            raise Stopped
        self._tell(this)
        return not this.report.unreachable

    async def _warn(self) -> None:
        """Once, what the doctor finds when all databases answer."""
        self.warned = True
        found: list[Finding] = []
        if self.asyncio:
            found += await adiagnose(self.databases, timeout=BOUND)
        else:
            await self.jobs.run("doctor", lambda: found.extend(self._diagnosed()))
        for each in found:
            if each.level != "ok" and each.topic not in ("connection", "in doubt"):
                logger.warning("%s, %s: %s", each.database or "Together", each.topic, each.message)

    def _diagnosed(self) -> list[Finding]:
        """In this thread, one after the other."""
        return conclude([examine(self.databases, name, asyncio=False) for name in parts(self.databases, asyncio=False)])

    async def _visit(self, this: Visits, name: str) -> None:
        try:
            await self.jobs.run(name, partial(this.visit, name))
        except Exception as error:
            this.report.unreachable.append(name)
            if not isinstance(error, (TimeoutError, Stopped)):
                self._say(("failed", name), "Recovery failed in %r (%s).", name, type(error).__name__)

    def _tell(self, this: Visits) -> None:
        report = this.report
        for each in report.resolutions:
            if each.ended != "left":
                logger.info("Transaction %s: %s in %r.", each.transaction_id, each.ended, each.database)
            elif this.full:  # else it is tried again at once
                self._say(
                    each, "Transaction %s stays in doubt in %r: %s.", each.transaction_id, each.database, each.why
                )
        for name in dict.fromkeys([*this.two_phase, *report.unreachable]):
            if name in report.unreachable:
                self._say(("unreachable", name), "Recovery cannot look into %r: it does not answer.", name)
            else:
                self.said -= {("unreachable", name), ("failed", name)}
        if not report.unreachable:
            left = {each.transaction_id for each in report.left}
            self.databases.unfinished.transactions.difference_update(this.wanted - left)
            self.said = {each for each in self.said if not isinstance(each, Resolution) or each.transaction_id in left}

    def _say(self, what: object, message: str, *facts: object) -> None:
        """Once, not every minute."""
        if what not in self.said:
            self.said.add(what)
            logger.warning(message, *facts)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Nothing of it is left: no task, no connection, and no thread unless a server keeps it waiting."""
        self.stopped.set()
        until = self.loop.time() + PATIENCE
        while not task.done() and self.loop.time() < until:
            task.cancel()  # again and again: a driver may take it for a lost connection
            await asyncio.wait([task], timeout=0.1)
        await self.jobs.wait(PATIENCE)
