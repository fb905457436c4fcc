"""Parts: what is made, migrated and recovered on its own where a database has tenants: "crm@acme", or "crm@eu"."""

from __future__ import annotations

import asyncio as aio
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import greenlet_spawn

from manybase.database import Database
from manybase.engines import Databases, needs_tenant
from manybase.errors import ConfigurationError, DirectoryUnavailable, UnknownTenant
from manybase.tenants import AT, Placement, has_own_url, split

T = TypeVar("T")
Which = Literal["all", "sample"] | Collection[str] | None  # of the tenants: None of them, or those of these names
SAMPLE = 20  # tenants of each database
MYSQL = ("mysql", "mariadb")


@dataclass(frozen=True, slots=True)
class Part:
    """``schema`` is that of its tables, where it is not the usual one of the place it is in."""

    name: str
    database: str
    shard: str | None
    tenant: str | None
    schema: str | None


def base_of(name: str) -> str:
    """The declared database that a part, or a database, is called after."""
    return name.partition(AT)[0]


def in_order(databases: Databases) -> Callable[[str], tuple[int, str]]:
    """The key to sort names of databases and parts by."""
    numbers = {name: number for number, name in enumerate(databases.names)}
    return lambda name: (numbers.get(base_of(name), len(numbers)), name)


def part_of(databases: Databases, name: str) -> Part | None:
    """What a name of a part says, or None where it is that of a whole database."""
    base, _, rest = name.partition(AT)
    if not rest:
        return None
    databases[name]
    shard, tenant = split(databases[base], rest)
    schema = None if tenant is None else databases.tenants.placed(base, tenant, shard).schema
    return Part(name, base, shard, tenant, schema)


def name_of(placement: Placement) -> str:
    """What the part of a tenant is called, also where it is a schema of a database that has one engine."""
    if placement.schema is None:
        return placement.name
    return f"{placement.database}{AT}{'.'.join(filter(None, (placement.shard, placement.tenant)))}"


def home_of(databases: Databases, name: str) -> Database:
    """The declaration of a database or a part, that of a schema of MySQL included, which is a database there."""
    declared, part = databases[name], part_of(databases, name)
    if part is None or part.schema is None:
        return declared
    own = databases[part.database].engine
    backend = (declared.resolve_url() if own is None else own.url).get_backend_name()
    if backend not in MYSQL:
        return declared
    if own is not None:
        raise ConfigurationError(
            f"Database {part.database!r} has an engine= of its own, and nothing here can connect it to the schema of "
            "a tenant, which is another database there. Declare it with a URL."
        )
    return declared.elsewhere(name, declared.resolve_url().set(database=part.schema))


def shared_shards(databases: Databases, name: str) -> list[str]:
    """The shards of a database in which tenants share the tables: each is one part."""
    declared = databases[name]
    if declared.schema is not None or has_own_url(declared):
        return []
    return [f"{name}{AT}{shard}" for shard in declared.shards]


def units(databases: Databases, name: str) -> list[str]:
    """What of a database is looked into at a time: itself, or each of its shards."""
    if name in databases.tenants and needs_tenant(databases[name]) and databases[name].shards:
        return [f"{name}{AT}{shard}" for shard in databases[name].shards]
    return [name]


def unit_of(databases: Databases, name: str) -> str:
    """The unit that a part belongs to."""
    part = part_of(databases, name) if name in databases else None
    return name if part is None else part.database if part.shard is None else f"{part.database}{AT}{part.shard}"


def is_of_many(databases: Databases, unit: str) -> bool:
    """Whether each tenant has a database of its own there."""
    return base_of(unit) in databases.tenants and has_own_url(databases[base_of(unit)]) and is_unit(databases, unit)


def is_unit(databases: Databases, name: str) -> bool:
    part = part_of(databases, name)
    return part is None or part.tenant is None


def chosen(
    databases: Databases, names: Collection[str] | None, tenants: Which, *, among: Collection[str] | None = None
) -> list[str]:
    """The databases and parts that are meant, in the order of their declaration; ``among`` these databases only.

    Without ``names``, and with ``tenants`` by name, only what is theirs. Raises ``ConfigurationError`` for a database
    with tenants that is named while they are not, ``UnknownTenant``, and ``DirectoryUnavailable``.
    """
    by_name = tenants is not None and not isinstance(tenants, str)
    meant = names if names is not None else [*databases.tenants] if by_name else databases.names
    meant = [each for each in meant if among is None or base_of(each) in among]
    found: set[str] = set()
    unknown = set(tenants or ()) if by_name else set()
    for name in meant:
        if base_of(name) not in databases.tenants or is_alone(databases, name):
            databases[name]
            found.add(name)
        elif tenants is not None and (by_name or not shared_shards(databases, base_of(name))):
            part = part_of(databases, name)
            for placement in placements(databases, base_of(name), tenants):
                unknown.discard(placement.tenant)
                if part is None or placement.shard == part.shard:
                    found.add(name_of(placement))
        elif shards := shared_shards(databases, base_of(name)):
            found.update(shards)
        elif names is not None:
            raise ConfigurationError(
                f"Database {name!r} has tenants: say which of them, with tenants= (--tenant NAME, or --all)."
            )
    if unknown:
        raise UnknownTenant(min(unknown), [*dict.fromkeys(map(base_of, meant))])
    return sorted(found, key=in_order(databases))


def is_alone(databases: Databases, name: str) -> bool:
    """Whether a name is that of one part, and not of a shard in which each tenant has his own."""
    part = part_of(databases, name)
    return part is not None and (part.tenant is not None or name in shared_shards(databases, part.database))


def placements(databases: Databases, database: str, tenants: Which) -> list[Placement]:
    """Where these tenants of a database are; those that it does not have are left out."""
    of = databases.tenants
    if isinstance(tenants, str):
        every = listed(databases, database) if tenants == "all" or of.directory(database).lists else []
        some = random.sample(every, SAMPLE) if tenants == "sample" and len(every) > SAMPLE else every
        return [of.placed(database, tenant, shard) for tenant, shard in some]
    found = []
    for tenant in tenants or ():
        try:
            found.append(asked(partial(place, databases, database, tenant)))
        except UnknownTenant:
            continue
    return found


def place(databases: Databases, database: str, tenant: str, asyncio: bool) -> Placement:
    return databases.tenants.place(database, tenant, databases, asyncio=asyncio)


def listed(databases: Databases, database: str) -> list[tuple[str, str | None]]:
    """The tenants of a database and their shards. Raises ``DirectoryUnavailable``."""
    try:
        return asked(lambda asyncio: [*databases.tenants.names(database, databases, asyncio=asyncio)])
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise DirectoryUnavailable(database) from error


def asked(work: Callable[[bool], T]) -> T:
    """What ``work(asyncio)`` returns: sync, or in an event loop of its own where a directory is for those only."""
    try:
        return work(False)
    except ConfigurationError as error:
        try:
            return aio.run(greenlet_spawn(work, True))
        except ConfigurationError:
            raise error from None
