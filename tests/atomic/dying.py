"""Processes that commit once and are killed on the way: forked, again and again, from one that holds no connection."""

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import URL

import manybase.atomic
from manybase import AsyncSession, Databases, Session
from manybase.steps import observers
from manybase.testing import fail_at
from tests.atomic.topologies import Point
from tests.ledgers import ledgers, write

DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pymysql", "asyncmy", "aiomysql", "mysql.connector", "aiosqlite")


@dataclass(frozen=True)
class Commit:
    """One row in each database, committed by a new process."""

    urls: dict[str, URL]
    app: str
    asyncio: bool
    kill_at: Point | None = None

    def declare(self, **options: Any) -> Databases:
        return ledgers(self.urls, app=self.app, **options)

    def in_sync(self) -> "Commit":
        """The same databases, through sync drivers."""
        return replace(self, urls={name: in_sync(url) for name, url in self.urls.items()}, asyncio=False)

    def run(self) -> None:
        manybase.atomic.FORGET_AFTER = 1  # so that each commit passes through the steps of forgetting
        if self.kill_at is None:
            self._commit()
            return
        step, database = self.kill_at
        with fail_at(step, database, kill=True):
            self._commit()

    def _commit(self) -> None:
        databases = self.declare()
        if self.asyncio:
            asyncio.run(commit_async(databases))
        else:
            commit(databases)


def in_sync(url: URL) -> URL:
    """The same database, through a sync driver."""
    backend = url.get_backend_name()
    return url.set(drivername={"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(backend, backend))


def commit(databases: Databases) -> None:
    with Session(databases) as session:
        write(session, *databases.names)
        session.commit()
    databases.dispose()


async def commit_async(databases: Databases) -> None:
    async with AsyncSession(databases) as session:
        await session.run_sync(write, *databases.names)
        await session.commit()
    await databases.adispose()


def steps_of(commit: Commit) -> list[Point]:
    """What a commit passes through, in a process of its own that nobody kills."""
    reading, writing = context().Pipe(duplex=False)
    assert in_process(pass_through, commit, writing) == 0
    writing.close()
    reached: list[Point] = reading.recv()
    reading.close()
    return reached


def pass_through(commit: Commit, to: Connection) -> None:
    reached: list[Point] = []
    observers.append(lambda step, database: reached.append((step, database)))
    commit.run()
    to.send(reached)


def in_process(body: Callable[..., None], *arguments: Any, then: Callable[[int], object] | None = None) -> int:
    """Run this in a process of its own: its exit code, -9 for one that was killed. ``then`` gets its pid meanwhile."""
    process = context().Process(target=body, args=arguments, daemon=True)
    process.start()
    assert process.pid is not None
    if then is not None:
        then(process.pid)
    process.join(60)
    assert process.exitcode is not None, "It hangs."
    code = process.exitcode
    process.close()
    return code


def was_killed(code: int) -> bool:
    return code == -signal.SIGKILL


def context() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__, *DRIVERS])  # imported once, not by each child
    return made
