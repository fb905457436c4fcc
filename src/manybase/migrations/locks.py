"""Locks: one upgrade of a database at a time, from however many machines.

There are two. The first is held for the time of the upgrade, on a connection that does nothing else, so that the server
frees it as soon as its holder dies. But a statement that a dead one was running goes on: the second lock belongs to the
connection that runs the statements, and is free when the last of them has ended.
"""

from __future__ import annotations

import asyncio as aio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, NullPool
from sqlalchemy.util import await_only

from manybase.errors import MigrationFailed, MigrationLocked
from manybase.migrations import file_lock
from manybase.migrations.server_locks import SERVERS, ServerLock, outlast_timeouts, server_lock

UPGRADE, STATEMENTS = "upgrade", "statements"  # what the first and the second lock are for; parts of their names
PAUSE = 0.2  # seconds between two attempts
GUARDED = "manybase: locks of migrations"  # in the info of a DBAPI connection


@contextmanager
def lock(
    engine: Engine,
    database: str,
    *,
    timeout: float,
    scope: str = "",
    waiting: Callable[[str], None] | None = None,
    pausing: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock of one database, on a connection of its own.

    ``waiting`` is called once with whoever has the lock, when we begin to wait; ``pausing`` before each new attempt,
    and what it raises ends the wait. ``scope``: a part of the database that
    is migrated on its own. A database of a kind whose locks we do not know is not locked.

    Raises ``MigrationLocked`` after ``timeout`` seconds, and ``MigrationFailed`` at the end of a block that went well
    where the lock was lost meanwhile.
    """
    wait = Wait(database, timeout, engine.dialect.is_async, waiting, pausing)
    with held(engine, scope, wait):
        yield


def guard(
    connection: Connection,
    database: str,
    *,
    timeout: float,
    scope: str = "",
    pausing: Callable[[], None] | None = None,
) -> None:
    """Take the second lock on the connection that runs the statements, and keep it until that connection closes.

    The transaction of the connection is as it was. Use a connection that does not go back into a pool: it would
    keep the lock there. Raises ``MigrationLocked`` after ``timeout`` seconds.
    """
    if connection.dialect.name not in SERVERS:  # a SQLite statement ends with its process
        return
    if not isinstance(connection.engine.pool, NullPool) and not connection.info.get(GUARDED):
        connection.detach()  # its pool would keep the lock
    guarded = connection.info.setdefault(GUARDED, set())
    if scope not in guarded:
        wait = Wait(database, timeout, connection.dialect.is_async, pausing=pausing)
        acquire(server_lock(connection, STATEMENTS, scope), connection, wait)
        guarded.add(scope)


def holder(connection: Connection, scope: str = "") -> str | None:
    """Who has the first or else the second lock now; None: nobody. Never waits, and takes nothing."""
    if connection.dialect.name == "sqlite":
        path = file_lock.path_beside(connection, scope)
        return None if path is None else file_lock.holder(path)
    if connection.dialect.name not in SERVERS:
        return None
    locks = (server_lock(connection, purpose, scope) for purpose in (UPGRADE, STATEMENTS))
    return next(filter(None, (each.holder(connection) for each in locks)), None)


@dataclass(frozen=True)
class Wait:
    """How long to wait for the lock of a database, and whom to tell."""

    database: str
    timeout: float
    asyncio: bool
    waiting: Callable[[str], None] | None = None
    pausing: Callable[[], None] | None = None

    def until(self, take: Callable[[], bool], holder: Callable[[], str | None]) -> None:
        deadline = time.monotonic() + self.timeout
        waiting = self.waiting
        while not take():
            left = deadline - time.monotonic()
            if left <= 0:
                self.give_up(take, holder())
                return
            if waiting is not None:
                waiting(holder() or "somebody else")
                waiting = None
            if self.pausing is not None:
                self.pausing()
            self.pause(min(PAUSE, left))

    def give_up(self, take: Callable[[], bool], holder: str | None) -> None:
        if holder is None and take():  # it has become free, or somebody only looked whether it was
            return
        raise MigrationLocked(self.database, self.timeout, holder)

    def pause(self, seconds: float) -> None:
        if self.asyncio:
            await_only(aio.sleep(seconds))
        else:
            time.sleep(seconds)


def held(engine: Engine, scope: str, wait: Wait) -> AbstractContextManager[None]:
    if engine.dialect.name in SERVERS:
        return held_on_server(engine, scope, wait)
    path = file_lock.path_for(engine, scope) if engine.dialect.name == "sqlite" else None
    return nullcontext() if path is None else held_on_file(path, wait)


@contextmanager
def held_on_file(path: str, wait: Wait) -> Iterator[None]:
    with file_lock.opened(path, wait.database) as descriptor:
        wait.until(lambda: file_lock.take(descriptor, path, wait.database), lambda: file_lock.holder(path))
        try:
            yield
        finally:
            file_lock.give(descriptor)


@contextmanager
def held_on_server(engine: Engine, scope: str, wait: Wait) -> Iterator[None]:
    with engine.connect() as connection:
        try:
            lock = server_lock(connection, UPGRADE, scope)
            acquire(lock, connection, wait)
            yield
            give(lock, connection, wait.database)
        except BaseException as error:
            connection.invalidate(error)  # closed, whatever pool it is from: that frees the lock without asking anybody
            raise


def acquire(lock: ServerLock, connection: Connection, wait: Wait) -> None:
    """A session may lock twice what it has locked, so two programs that are given one session both have the lock."""
    outlast_timeouts(connection)
    shared = lock.is_mine(connection)
    if not shared:
        wait.until(lambda: lock.take(connection), lambda: lock.holder(connection))
        shared = not lock.is_mine(connection)
    if shared:
        raise MigrationFailed(
            wait.database,
            "It cannot be locked: something in between, such as PgBouncer in transaction mode, gives the sessions of "
            "the server to several programs in turns, and a lock belongs to a session. Nothing was changed. Let "
            "migrations connect to the server directly, or to a pool in session mode.",
        )


def give(lock: ServerLock, connection: Connection, database: str) -> None:
    cause: Exception | None = None
    try:
        if lock.give(connection):
            return
    except Exception as error:  # drivers have many ways to say that a connection is gone
        cause = error
    raise MigrationFailed(
        database,
        "Its lock was lost before the upgrade ended: the server, or something in between, has closed the connection "
        "that held it. What the upgrade has done is done, but another one may have run at the same time. Once none "
        "does, run it again: it does what is missing.",
    ) from cause
