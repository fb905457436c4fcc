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
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util import greenlet_spawn

from manybase.concurrency import to_the_end
from manybase.directories import NOBODY, Found, TenantTable, unchangeable
from manybase.engines import Databases
from manybase.errors import ConfigurationError, MigrationFailed, listed
from manybase.extras import needing
from manybase.gid import TABLE
from manybase.parts import MYSQL, Part, asked, base_of, home_of, name_of, part_of
from manybase.schema import create_tables
from manybase.servers import engine_for, server_of

with needing("alembic", extra="migrations"):
    from manybase import migrations
    from manybase.migrations import creating
    from manybase.migrations.environments import Target, confine, in_database
    from manybase.migrations.failures import cause, naming
    from manybase.migrations.histories import histories
    from manybase.migrations.locks import Wait, held_on_file, lock

T = TypeVar("T")
CREATING = "manybase_creating"  # a table in what is only half made, where a server cannot undo half a revision
VERSIONS = "alembic_version"
BESIDE = ("", "-wal", "-shm", "-journal", ".migrating")  # the files of a SQLite database
PATIENCE = 30  # seconds that DROP waits for transactions of others
FORCE = 130000  # from this PostgreSQL on, DROP DATABASE can end the sessions of others

observers: list[Callable[[str, str], None]] = []


@dataclass(frozen=True)
class Created:
    """``parts`` are what the tenant has, ``made`` those of them that were not there before."""

    tenant: str
    parts: tuple[str, ...]
    made: tuple[str, ...]
    entered: bool


@dataclass(frozen=True)
class Loss:
    """What is lost with a part; ``shared``: nothing, for its tables are those of other tenants too."""

    part: str
    tables: int
    size: int
    shared: bool = False


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
        for name in leaving:
            reached("leaving", name)
            ask(partial(remove, databases, name, tenant))
            reached("left", name)
        for part in parts:
            databases.close_tenant(part.name)
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


def beside(target: Target) -> Engine:
    """An engine for the server, or for the database in which a schema is."""
    if target.schema is not None:
        return target.autocommit
    home = home_of(target.databases, target.name)
    return engine_for(target.databases, server_of(home, home.resolve_url()), asyncio=target.asyncio)


def file_of(target: Target) -> Path:
    return Path((target.engine.url.database or "").removeprefix("file:").partition("?")[0])


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


def reached(step: str, where: str) -> None:
    for observer in observers:
        observer(step, where)


# The part itself.


def make_part(target: Target, part: Part, *, known: bool, timeout: float) -> bool:
    """Make it and bring it to the head of its history; whether it was missing. ``known``: the tenant is in use."""
    databases = target.databases
    reached("creating", part.name)
    remove_leftovers(target)
    missing = creating.create_missing(databases, part.name, asyncio=target.asyncio)
    missing = creating.create_schema(target) or missing
    reached("created", part.name)
    if not known and target.dialect in MYSQL:
        begin_anew(target)
    fresh = is_empty(target)
    if not fresh and not known:
        refuse_foreign(target)
    creating.keep_decisions(databases, target)
    if target.history.exists:
        migrations.upgrade(databases, names=[part.name], lock_timeout=timeout, allow_data_loss=fresh)
    elif databases.ownership.declares_models(part.database):
        make_tables(target)
    if target.dialect in MYSQL:
        with naming(part.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {CREATING}")
    reached("migrated", part.name)
    return missing


def begin_anew(target: Target) -> None:
    """MySQL commits each statement of a revision, so what was killed there cannot go on: it is made again. What is
    being made says so, by a table, until it is done; nobody has used it, for its tenant is in no directory."""
    tables = tables_of(target)
    if CREATING in tables:
        drop_part(target)
        creating.create_missing(target.databases, target.name, asyncio=target.asyncio)
    if CREATING in tables or not tables:
        with naming(target.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {CREATING} (since timestamp NULL)")


def make_tables(target: Target) -> None:
    with naming(target.name), target.engine.begin() as connection:
        if target.schema is not None:
            confine(connection, target.schema)
            connection.execution_options(schema_translate_map={None: target.schema})
        create_tables(connection, target.databases.tables(base_of(target.name)))


def tables_of(target: Target) -> set[str]:
    with naming(target.name), target.autocommit.connect() as connection:
        return {*inspect(connection).get_table_names(schema=target.schema)}


def is_empty(target: Target) -> bool:
    return not tables_of(target) - {VERSIONS, TABLE, CREATING}


def refuse_foreign(target: Target) -> None:
    """Raise ``MigrationFailed`` unless what is there is what the history makes, or the models."""
    tables = tables_of(target) - {VERSIONS, TABLE, CREATING}
    if target.history.exists:
        with naming(target.name):
            heads = {head for heads in target.passes() for head in heads}
        strange = [head for head in heads if not target.history.has(head)]
        if strange:
            raise foreign(target, f"It is at {listed(sorted(strange))}, which its history does not have.")
        if heads or not tables:
            return
    else:
        tables -= models_of(target)
    if tables:
        raise foreign(target, f"It holds tables that nothing here has made: {listed(sorted(tables))}.")


def models_of(target: Target) -> set[str]:
    base = base_of(target.name)
    databases = target.databases
    return {each.name for each in databases.tables(base)} if databases.ownership.declares_models(base) else set()


def foreign(target: Target, why: str) -> MigrationFailed:
    return MigrationFailed(
        target.name,
        f"It is there already, and is somebody else's. {why} Nothing was changed. Give the tenant another name, or say "
        f"that it is his: manybase stamp REVISION -d {target.name}.",
    )


# What differs between the servers.

THERE = {
    "postgresql": text("SELECT count(*) FROM pg_database WHERE datname = :name"),
    "mysql": text("SELECT count(*) FROM information_schema.schemata WHERE schema_name = :name"),
}
SIZES = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "mysql": "SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables "
    "WHERE table_schema = database()",
}
OF_SCHEMA = text(
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = :name AND c.relkind IN ('r', 'm')"
)


def exists(target: Target) -> bool:
    if target.dialect == "sqlite":
        return any(each.exists() for each in files_of(target))
    with naming(target.name), beside(target).connect() as connection:
        if target.schema is not None:
            return bool(connection.scalar(creating.SCHEMAS, {"name": target.schema}))
        return bool(connection.scalar(THERE[kind_of(connection)], {"name": target.engine.url.database}))


def lost(target: Target) -> Loss:
    tables = len(tables_of(target) - {VERSIONS, TABLE, CREATING})
    if target.dialect == "sqlite":
        return Loss(target.name, tables, sum(each.stat().st_size for each in files_of(target) if each.exists()))
    with naming(target.name), target.autocommit.connect() as connection:
        if target.schema is not None:
            size = connection.scalar(OF_SCHEMA, {"name": target.schema})
        else:
            size = connection.exec_driver_sql(SIZES[kind_of(connection)]).scalar()
    return Loss(target.name, tables, int(size or 0))


def drop_part(target: Target) -> bool:
    """Drop it, and whether it was there."""
    if target.dialect == "sqlite":
        return remove_files(target)
    if not exists(target):
        return False
    try:
        with beside(target).connect() as connection:
            drop_on_server(connection, target)
    except DBAPIError as error:
        raise MigrationFailed(
            target.name,
            f"The directory does not have the tenant any more, and what he had could not be dropped. {cause(error)} If "
            "a transaction in it is prepared: manybase in-doubt resolve. Then drop the tenant again.",
        ) from error
    return True


def drop_on_server(connection: Connection, target: Target) -> None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    if target.schema is not None:
        connection.exec_driver_sql(f"SET lock_timeout = '{PATIENCE}s'")
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(target.schema)} CASCADE")
        return
    name = quote(target.engine.url.database or "")
    if kind_of(connection) == "mysql":
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {PATIENCE}")
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        return
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if version >= FORCE else ''}")


def kind_of(connection: Connection) -> str:
    return "mysql" if connection.dialect.name in MYSQL else connection.dialect.name


def files_of(target: Target) -> list[Path]:
    file = file_of(target)
    return [file.with_name(file.name + suffix) for suffix in BESIDE]


def remove_files(target: Target) -> bool:
    """The database first: what SQLite keeps beside one says nothing without it."""
    found = [each for each in files_of(target) if each.exists()]
    for each in found:
        each.unlink(missing_ok=True)
    return bool(found)


def remove_leftovers(target: Target) -> None:
    """Of a file that was dropped, whose writer was killed: SQLite would take them for those of the next one."""
    if target.dialect == "sqlite" and not file_of(target).exists():
        remove_files(target)
