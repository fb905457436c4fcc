"""Lifecycle: tenants created and dropped, in their databases and in the directory, so that both agree.

A tenant is entered in the directory last and leaves it first: whoever is in it has all that is his. Each step can be
done again, and one process at a time is at a tenant, so what a kill has left half done is finished by running it again.
"""

from __future__ import annotations

import asyncio as aio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.util import greenlet_spawn

from manybase.concurrency import to_the_end
from manybase.directories import NOBODY, Found, TenantTable, unchangeable
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.extras import needing
from manybase.parts import Part, asked, name_of, part_of

with needing("alembic", extra="migrations"):
    from manybase.migrations.environments import Target, in_database
    from manybase.migrations.failures import naming
    from manybase.migrations.histories import histories
    from manybase.migrations.locks import Wait, held_on_file, lock
    from manybase.migrations.tenant_parts import (
        Loss,
        beside,
        drop_part,
        exists,
        file_of,
        lost,
        make_part,
        mark_dropping,
        observers,
        reached,
        refuse_foreign,
    )

__all__ = [
    "Created",
    "Dropped",
    "Loss",
    "acreate_tenant",
    "adrop_tenant",
    "create_tenant",
    "drop_tenant",
    "losses",
    "observers",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Created:
    """``parts`` are what the tenant has, ``made`` those of them that were not there before."""

    tenant: str
    parts: tuple[str, ...]
    made: tuple[str, ...]
    entered: bool


@dataclass(frozen=True)
class Dropped:
    """``parts`` are what is gone, ``kept`` the shards that others have too: rows in there are not looked for."""

    tenant: str
    parts: tuple[str, ...]
    kept: tuple[str, ...]
    left: bool


def create_tenant(
    databases: Databases,
    tenant: str,
    *,
    shard: str | None = None,
    database: str | None = None,
    lock_timeout: float = 60.0,
) -> Created:
    """Make the database or schema of a tenant, migrate it, and enter the tenant in the directory.

    In all databases with tenants, or in ``database`` and those that have the same directory. Where there is no history
    of migrations, the tables of the models are created. Run it again after a failure: it does what is missing. Raises
    ``UnknownTenant`` for what cannot be a name, ``ConfigurationError``, and ``MigrationFailed``, such as for a database
    that is there already and is somebody else's.
    """
    return create(databases, tenant, shard, database, lock_timeout, asked)


async def acreate_tenant(
    databases: Databases,
    tenant: str,
    *,
    shard: str | None = None,
    database: str | None = None,
    lock_timeout: float = 60.0,
) -> Created:
    """As ``create_tenant``, in a thread; the directory is asked in this event loop."""
    ask: Any = partial(asked_in, aio.get_running_loop())
    return await in_thread(partial(create, databases, tenant, shard, database, lock_timeout, ask))


def drop_tenant(
    databases: Databases,
    tenant: str,
    *,
    shard: str | None = None,
    database: str | None = None,
    lock_timeout: float = 60.0,
) -> Dropped:
    """Take a tenant out of the directory, then drop his database or schema with all that is in it.

    Run it again after a failure: what is left is dropped, though the directory does not know it any more.
    """
    return drop(databases, tenant, shard, database, lock_timeout, asked)


async def adrop_tenant(
    databases: Databases,
    tenant: str,
    *,
    shard: str | None = None,
    database: str | None = None,
    lock_timeout: float = 60.0,
) -> Dropped:
    """As ``drop_tenant``, in a thread; the directory is asked in this event loop."""
    ask: Any = partial(asked_in, aio.get_running_loop())
    return await in_thread(partial(drop, databases, tenant, shard, database, lock_timeout, ask))


def losses(databases: Databases, tenant: str, *, shard: str | None = None, database: str | None = None) -> list[Loss]:
    """What ``drop_tenant`` would drop. Changes nothing."""
    parts = to_drop(databases, tenant, shard, looked_up(databases, tenant, database, asked))
    return [
        in_part(databases, each, lost) if is_own(databases, each) else Loss(each.name, 0, 0, shared=True)
        for each in parts
    ]


def create(
    databases: Databases, tenant: str, shard: str | None, database: str | None, timeout: float, ask: Any
) -> Created:
    databases.load()
    entered = looked_up(databases, tenant, database, ask)
    for name, at in entered.items():
        if at is NOBODY and not databases.tenants.directory(name).adds:
            raise unchangeable("add")
    check_shard(databases, tenant, shard, entered)
    shards = {name: shard_for(databases, name, shard) if at is NOBODY else at for name, at in entered.items()}
    parts = [part_named(databases, name, tenant, at) for name, at in shards.items()]
    made: list[str] = []

    def make(target: Target, part: Part) -> None:
        if make_part(target, part, known=entered[part.database] is not NOBODY, timeout=timeout):
            made.append(part.name)

    def enter() -> bool:
        missing = {name: at for name, at in shards.items() if entered[name] is NOBODY}
        for name, at in missing.items():
            ask(partial(add, databases, name, tenant, at))
            reached("entered", name)
        return bool(missing)

    is_new = holding(databases, parts, timeout, make, enter)
    return Created(tenant, tuple(each.name for each in parts), tuple(made), is_new)


def drop(
    databases: Databases, tenant: str, shard: str | None, database: str | None, timeout: float, ask: Any
) -> Dropped:
    databases.load()
    entered = looked_up(databases, tenant, database, ask)
    leaving = [name for name, at in entered.items() if at is not NOBODY]
    for name in leaving:
        if not databases.tenants.directory(name).removes:
            raise unchangeable("remove")
    parts = to_drop(databases, tenant, shard, entered)
    dropped: list[str] = []

    def leave() -> bool:
        for part in parts:
            if is_own(databases, part):
                in_part(databases, part, mark_dropping)
                reached("marked", part.name)
        for name in leaving:
            reached("leaving", name)
            ask(partial(remove, databases, name, tenant))
            reached("left", name)
        for part in parts:
            databases.close_engine(part.name)
            if is_own(databases, part):
                reached("dropping", part.name)
                if in_part(databases, part, drop_part):
                    dropped.append(part.name)
                reached("dropped", part.name)
        return bool(leaving)

    left = holding(databases, parts, timeout, lambda *_: None, leave)
    kept = tuple(each.name for each in parts if not is_own(databases, each))
    return Dropped(tenant, tuple(dropped), kept, left)


# Who the tenant is, and what is his.


def looked_up(databases: Databases, tenant: str, database: str | None, ask: Any) -> dict[str, Found]:
    """Each database that is meant, with the shard of the tenant there, or ``NOBODY``."""
    databases.tenants.check(tenant, database)
    return {
        name: ask(partial(find, databases, name, tenant)) for name in with_same_directory(databases, tenant, database)
    }


def with_same_directory(databases: Databases, tenant: str, database: str | None) -> list[str]:
    """Whoever is in the directory of one database is a tenant of all that have the same one."""
    if database is None:
        return [*databases.tenants]
    return [name for name in databases.tenants if is_same(databases, name, database)]


def is_same(databases: Databases, name: str, other: str) -> bool:
    first, second = databases.tenants.directory(name), databases.tenants.directory(other)
    if isinstance(first, TenantTable) and isinstance(second, TenantTable):
        return first.table is second.table
    return databases[name].tenants is databases[other].tenants


def find(databases: Databases, name: str, tenant: str, asyncio: bool) -> Found:
    """Asked now, whatever it said before."""
    databases.tenants.check(tenant, name)
    return databases.tenants.directory(name).find(tenant, databases, asyncio=asyncio)


def add(databases: Databases, name: str, tenant: str, shard: Found, asyncio: bool) -> None:
    try:
        databases.tenants.add(name, tenant, shard, databases, asyncio=asyncio)
    except IntegrityError:  # somebody else has, at the same time
        if find(databases, name, tenant, asyncio) != shard:
            raise


def remove(databases: Databases, name: str, tenant: str, asyncio: bool) -> None:
    databases.tenants.remove(name, tenant, databases, asyncio=asyncio)


def check_shard(databases: Databases, tenant: str, shard: str | None, entered: dict[str, Found]) -> None:
    if shard is None:
        return
    sharded = {name: at for name, at in entered.items() if databases[name].shards}
    if not sharded:
        raise ConfigurationError(f"A shard is named, and {', '.join(entered)} has none.")
    for name, at in sharded.items():
        if at is not NOBODY and at != shard:
            raise ConfigurationError(
                f"Tenant {tenant!r} of {name!r} is in the shard {at!r} already, not in {shard!r}. Nothing was changed."
            )


def shard_for(databases: Databases, name: str, shard: str | None) -> Found:
    shards = databases[name].shards
    if not shards:
        return None
    if shard is None and len(shards) == 1:
        return next(iter(shards))
    if shard not in shards:
        said = "which one is not said" if shard is None else f"{shard!r} is none of them"
        raise ConfigurationError(f"Database {name!r} has the shards {', '.join(shards)}, and {said}: shard= (--shard).")
    return shard


def part_named(databases: Databases, name: str, tenant: str, shard: Found) -> Part:
    found = part_of(databases, name_of(databases.tenants.placed(name, tenant, shard)))
    assert found is not None
    return found


def is_own(databases: Databases, part: Part) -> bool:
    """Whether nobody else has it, and its schema is managed here."""
    return part.tenant is not None and databases[part.database].manage_schema


def to_drop(databases: Databases, tenant: str, shard: str | None, entered: dict[str, Found]) -> list[Part]:
    """What is there of a tenant. Whom the directory has forgotten may be in any shard, or be somebody else's name."""
    found = []
    for name, at in entered.items():
        shards: Sequence[Found] = [at]
        if at is NOBODY:
            shards = [shard] if shard is not None else [*databases[name].shards] or [None]
        for each in shards:
            part = part_named(databases, name, tenant, each)
            if not is_own(databases, part):
                found += [part] if at is not NOBODY else []
            elif in_part(databases, part, exists):
                if at is NOBODY:
                    in_part(databases, part, refuse_foreign)
                found.append(part)
    return found


# One at a time, in whatever loop its driver needs.


def in_part(databases: Databases, part: Part, job: Callable[[Target], T]) -> T:
    (history,) = histories(databases, [part.name])
    return in_database(databases, history, part.name, job)


def holding(
    databases: Databases,
    parts: Sequence[Part],
    timeout: float,
    make: Callable[[Target, Part], None],
    then: Callable[[], T],
) -> T:
    """Do ``make`` in each part, and then ``then``, while nobody else creates or drops them."""
    own = [each for each in parts if is_own(databases, each)]
    if not own:
        return then()

    def job(target: Target) -> T:
        with locked(target, own[0], timeout):
            make(target, own[0])
            with ThreadPoolExecutor(1, thread_name_prefix="manybase tenants") as apart:  # from the loop of this one
                rest: Callable[[], T] = partial(holding, databases, own[1:], timeout, make, then)
                return apart.submit(rest).result()

    return in_part(databases, own[0], job)


@contextmanager
def locked(target: Target, part: Part, timeout: float) -> Iterator[None]:
    if target.dialect == "sqlite":
        file = file_of(target)
        file.parent.mkdir(parents=True, exist_ok=True)
        path = file.parent / f".{part.database}.tenants"  # one for all, which stays
        with held_on_file(str(path), Wait(part.name, timeout, target.asyncio)):
            yield
    else:
        with naming(part.name), lock(beside(target), part.name, timeout=timeout, scope=f"tenant {part.name}"):
            yield


async def in_thread(work: Callable[[], T]) -> T:
    """What it returns. Who is cancelled meanwhile leaves nothing half done."""
    task = aio.create_task(aio.to_thread(work))
    try:
        return await aio.shield(task)
    except aio.CancelledError:
        with suppress(Exception):
            await to_the_end(task)
        raise


def asked_in(loop: aio.AbstractEventLoop, work: Callable[[bool], T]) -> T:
    """What ``work(asyncio)`` returns, awaited in that loop; sync where that is how the directory is reached."""
    try:
        return aio.run_coroutine_threadsafe(greenlet_spawn(work, True), loop).result()
    except ConfigurationError as error:
        try:
            return work(False)
        except ConfigurationError:
            raise error from None
