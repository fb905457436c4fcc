"""Replica health: what is known of the replicas of a database, as plain data; looked at now where nobody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeVar

from sqlalchemy import Connection

from manybase.database import Database
from manybase.engines import Databases
from manybase.looking import note_log, note_look
from manybase.replicas import Replica, ReplicaSet, State

T = TypeVar("T")


@dataclass(frozen=True)
class ReplicaHealth:
    """``lag``: bytes of log, or transactions, that it has not replayed; ``None`` where that is not known.

    ``served`` says how many transactions of this process it serves right now. Only the states "ok" and "unknown" get
    any; of a replica that is not one ("promoted", "stranger") ``role`` is None.
    """

    replica: str
    role: Literal["replica"] | None
    state: State
    lag_seconds: float | None = None
    lag: int | None = None
    served: int = 0


class Ask(Protocol):
    def __call__(self, database: Database, question: Callable[[Connection], T], /) -> Awaitable[T]: ...


async def ask_replicas(databases: Databases, name: str, ask: Ask, timeout: float) -> tuple[ReplicaHealth, ...]:
    """Those of one database, all at once; what a background task knows is not asked again."""
    replicas = databases.replicas.get(name)
    if replicas is None:
        return ()
    if not databases.replicas.watched and not databases.is_taken_over:
        with suppress(Exception):  # that the primary does not answer is said elsewhere
            async with asyncio.timeout(timeout):
                await ask(databases[name], partial(note_log, replicas))
        await asyncio.gather(*(look(databases, replicas, each, ask, timeout) for each in replicas))
    return tuple(map(described, replicas))


async def look(databases: Databases, replicas: ReplicaSet, replica: Replica, ask: Ask, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await ask(databases.declaration(replica.name), partial(note_look, replicas, replica))
    except Exception:  # whatever it is, it is no replica to read from
        replica.note_failure(time.monotonic())


def described(replica: Replica) -> ReplicaHealth:
    seconds = None if replica.lag_seconds is None else round(replica.lag_seconds, 3)
    role: Literal["replica"] | None = None if replica.state in ("promoted", "stranger") else "replica"
    return ReplicaHealth(replica.name, role, replica.state, seconds, replica.lag, replica.in_use)
