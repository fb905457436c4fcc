"""Asking: where all databases are, how they differ from their models, and whether a program may start on them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TypeVar

from manybase.engines import Databases
from manybase.errors import ConfigurationError, DirectoryUnavailable, PartlyMigrated, PendingMigrations
from manybase.migrations.drift import Drift, drift
from manybase.migrations.histories import histories
from manybase.migrations.looking import State, look
from manybase.migrations.places import places
from manybase.migrations.running import Outcome, Run
from manybase.participants import backend_of
from manybase.parts import Which

T = TypeVar("T")
Names = Collection[str] | None


def status(databases: Databases, *, names: Names = None, tenants: Which = None, jobs: int = 8) -> Outcome[State]:
    """What each database is at, and what is pending; ``failed`` are those that do not tell.

    ``tenants``: "all", a "sample", or some by name, of the databases that have them; without it, none.
    """
    return whole(Run(databases, look, jobs=jobs, keep_going=True).over(places(databases, names, tenants)))


def check(databases: Databases, *, names: Names = None, tenants: Which = None, jobs: int = 8) -> Outcome[Drift]:
    """How each database differs from its models; ``failed`` are those that cannot be compared."""
    return whole(Run(databases, drift, jobs=jobs, keep_going=True).over(places(databases, names, tenants)))


def whole(outcome: Outcome[T]) -> Outcome[T]:
    """Ctrl-C ends a look as it ends anything: half of it would look like all."""
    if outcome.interrupted:
        raise KeyboardInterrupt
    return outcome


def require(databases: Databases, *, names: Names = None, tenants: Which = None, jobs: int = 8) -> None:
    """Raise ``PendingMigrations`` unless all are at their head. Where one does not tell, its ``MigrationFailed``; where
    several do not, ``PartlyMigrated``.

    Changes nothing, not even where a database has no table of versions yet.
    """
    try:
        outcome = status(databases, names=names, tenants=tenants, jobs=jobs)
    except DirectoryUnavailable:
        if names is None:
            require(databases, jobs=jobs)  # it may be the table of the tenants that is pending
        raise
    if len(outcome.failed) == 1:
        raise next(iter(outcome.failed.values()))
    if outcome.failed:
        raise PartlyMigrated((), outcome.failed, outcome.done)
    states = [*outcome.done.values()]
    behind = {each.database: len(each.pending) for each in states if each.pending}
    unknown = {each.database: each.unknown for each in states if each.unknown}
    if behind or unknown:
        raise PendingMigrations(behind, unknown)


async def arequire(databases: Databases, *, names: Names = None, tenants: Which = None, jobs: int = 8) -> None:
    check_not_in_memory(databases, names)
    await asyncio.to_thread(require, databases, names=names, tenants=tenants, jobs=jobs)


def check_not_in_memory(databases: Databases, names: Names) -> None:
    """A thread of ours would migrate another database than the one the program uses."""
    for history in histories(databases, names):
        for name in history.databases:
            if backend_of(databases, name) is None:
                raise ConfigurationError(
                    f"Database {name!r} is in memory: under asyncio it cannot be migrated. Create its tables: await "
                    f"databases.acreate_all({name!r})."
                )
