"""Places: which databases, and which parts of those with tenants, are migrated, each with its history."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.migrations.histories import History, histories
from manybase.parts import Which, base_of, chosen, part_of

Place = tuple[History, str]
Canary = int | str  # so many of the first ones, or a database, a part, a shard or a tenant by name


def places(databases: Databases, names: Collection[str] | None, tenants: Which = None) -> list[Place]:
    """What is named, or all, with the histories: the parts of databases with tenants as ``tenants`` says."""
    found = histories(databases, names)
    of = {name: history for history in found for name in history.databases}
    every = [(of[base_of(each)], each) for each in chosen(databases, names, tenants, among=of)]
    for history in {id(history): history for history, _ in every}.values():
        history.load()
    return every


def canaries(databases: Databases, every: Sequence[Place], canary: Canary) -> list[Place]:
    """Those that go before all others."""
    if isinstance(canary, int):
        return list(every[:canary])
    return [place for place in every if is_called(databases, place[1], canary)]


def is_called(databases: Databases, name: str, canary: str) -> bool:
    part = part_of(databases, name)
    return canary in (name, base_of(name), *((part.tenant, part.shard) if part is not None else ()))


def check_canary(databases: Databases, every: Sequence[Place], canary: Canary) -> None:
    if isinstance(canary, str) and not canaries(databases, every, canary):
        raise ConfigurationError(f"The canary {canary!r} is none of the databases or tenants that are to be migrated.")
