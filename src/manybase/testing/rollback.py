"""rollback: a block in which everything works, and after which nothing has been written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import to_the_end
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.shelves import running_loop
from manybase.testing.lending import Lending
from manybase.testing.loops import dispose_with_loop
from manybase.testing.outer import RollbackConflict

lasting: WeakKeyDictionary[Databases, Rollback] = WeakKeyDictionary()  # the blocks that have begun


def after_rollback(databases: Databases, job: Callable[[], None]) -> None:
    """Do it when the block that has begun is over, and its connections hold no locks any more; at once without one."""
    if databases in lasting:
        lasting[databases].afterwards.callback(job)
    else:
        job()


def rollback(databases: Databases) -> Rollback:
    """A block after which nothing is written, in any database: ``with rollback(databases):``, or ``async with``.

    Inside, each database has one connection in a transaction that never commits, and whatever asks ``databases`` for a
    connection shares it: sessions, any number, pinned or not, and the engines. A commit is there for all who come
    after it, a rollback undoes what its session wrote since its last commit, savepoints are savepoints.

    What one transaction cannot show is not tested here: atomic commit (no database is asked to prepare), isolation
    levels, locks between sessions, constraints that are checked at commit. A session sees what others have not
    committed yet. DDL on MySQL and MariaDB commits for good.

    Sync sessions have one connection, the async sessions of each event loop another. One database used through both
    raises ``RollbackConflict`` when a session would miss what was committed through the other; so does a rollback
    that would undo the writes of another session. Sync sessions of several threads must take turns.
    """
    return Rollback(databases)


class Rollback:
    """What ``rollback()`` returns."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.afterwards = ExitStack()
        self._lendings: list[Lending] = []
        self._loop_of_with: asyncio.AbstractEventLoop | None = None
        self._over = False

    def __enter__(self) -> None:
        self._databases.begin_takeover(self)
        lasting[self._databases] = self
        self._loop_of_with = running_loop()

    def __exit__(self, *_: object) -> None:
        with self._ending() as ending:
            ending.callback(self._end_other_loops)
            ending.callback(self._end_sync)

    async def __aenter__(self) -> None:
        self._databases.begin_takeover(self)
        lasting[self._databases] = self
        self._loop_of_with = None

    async def __aexit__(self, *_: object) -> None:
        await to_the_end(self._aend())

    async def _aend(self) -> None:
        with self._ending() as ending:
            ending.callback(self._end_sync)
            await self.leave_loop()
            await asyncio.to_thread(self._end_other_loops)

    def take(self, name: str, engine: Engine) -> None:
        if not self._over:
            self._lendings.append(Lending(name, engine, self))

    async def leave_loop(self) -> None:
        await end_in_loop(self._open_in(running_loop()))

    def allow(self, lending: Lending) -> None:
        if lending.loop is not None and lending.loop is self._loop_of_with:
            raise ConfigurationError(
                "`with rollback(databases):` inside a running event loop cannot give back the connections of its "
                "async sessions. Write `async with rollback(databases):`."
            )
        for other in self._lendings:
            if other is not lending and other.database == lending.database and other.written:
                raise RollbackConflict(lending.database, missed(other))

    def opened(self, lending: Lending) -> None:
        if lending.loop is not None:
            await_only(dispose_with_loop(self._databases))

    def _open_in(self, loop: asyncio.AbstractEventLoop | None) -> list[Lending]:
        return [each for each in self._lendings if each.outer is not None and each.loop is loop]

    def _ending(self) -> ExitStack:
        """The engines' own pools serve again; at the end of the returned stack all is as it was."""
        self._over = True
        for each in self._lendings:
            each.stop()
        ending = ExitStack()
        ending.callback(self._forget)
        ending.push(self.afterwards.pop_all())
        ending.callback(self._databases.end_takeover)
        return ending

    def _forget(self) -> None:
        lasting.pop(self._databases, None)
        self._lendings.clear()
        self._over = False

    def _end_sync(self) -> None:
        for each in self._open_in(None):
            each.end()

    def _end_other_loops(self) -> None:
        """From outside: in the thread of a loop that runs, such as that of a TestClient, else here."""
        for loop in {each.loop for each in self._lendings if each.outer is not None}:
            if loop is None:
                continue
            if loop.is_closed():  # without its shutdown steps
                asyncio.run(drop(self._open_in(loop)))
            elif loop.is_running():
                ending = asyncio.run_coroutine_threadsafe(end_in_loop(self._open_in(loop)), loop)
                ending.result(self._databases.pool_timeout)
            else:
                loop.run_until_complete(end_in_loop(self._open_in(loop)))


async def end_in_loop(lendings: list[Lending]) -> None:
    for each in lendings:
        await greenlet_spawn(each.end)


async def drop(lendings: list[Lending]) -> None:
    for each in lendings:
        await greenlet_spawn(each.drop)


def missed(other: Lending) -> str:
    if other.loop is None:
        who = "sync sessions have"
    elif other.outer is None:
        who = "async sessions of an event loop that has ended have"
    else:
        who = "async sessions of another event loop have"
    return (
        f"{who} committed to it through another connection, and this session could not see what they wrote. Use one "
        "kind of session in a test. With Starlette's TestClient, `with TestClient(app) as client:` keeps one event "
        "loop, and client.portal.call(function) runs an async function of the test in it."
    )
