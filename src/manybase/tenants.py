"""Tenants: where the part of a tenant is, in each database that has tenants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL
from sqlalchemy.util.concurrency import in_greenlet

from manybase.answers import Answers
from manybase.database import TENANT, Database, has_placeholder
from manybase.directories import NOBODY, Directory, Found, directory_of
from manybase.errors import AmbiguousRoute, ConfigurationError, UnknownTenant

AT = "@"  # between the name of a database and what says which part of it: "crm@acme", "crm@eu", "crm@eu.acme"
# Whatever tenant_names= allows: nothing that means anything in SQL, in a URL or in a path gets any further.
HARMLESS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9_-])?", re.ASCII)
LONGEST = 63  # bytes of a name in PostgreSQL, which cuts off the rest; MySQL takes 64
NOBODYS_NAME = "manybase-health"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tenant is: ``name`` is what the engine is called, ``schema`` the one of its tables, if not the usual."""

    database: str
    tenant: str
    shard: str | None
    schema: str | None
    name: str


class Tenants:
    """The tenants of all databases that have some. ``name in tenants``: whether a database does."""

    def __init__(self, declarations: Sequence[Database]) -> None:
        self._declared = {each.name: each for each in declarations if each.tenants is not None}
        self._answers = {name: Answers(name, directory_of(each)) for name, each in self._declared.items()}
        self._guests: dict[tuple[str, str], Placement] = {}
        self._places: dict[str, Database] = {}

    def __bool__(self) -> bool:
        return bool(self._declared)

    def __contains__(self, name: object) -> bool:
        return name in self._declared

    def __iter__(self) -> Iterator[str]:
        """The names of the databases with tenants."""
        return iter(self._declared)

    def check(self, tenant: object, database: str | None) -> None:
        """Raise ``UnknownTenant`` for what cannot be the name of a tenant there, or anywhere. Nobody is asked."""
        names = [*self._declared] if database is None else [database]
        if not self._declared or (database is not None and database not in self._declared):
            where = f"database {database!r} has none" if self._declared else "no database declares tenants="
            raise ConfigurationError(f"A session for a tenant was asked for, and {where}.")
        if not any(is_name(tenant, self._declared[name]) for name in names):
            raise no_name(tenant, names)

    def place(self, database: str, tenant: str, databases: Any, *, asyncio: bool) -> Placement:
        """Where a tenant is. Raises ``UnknownTenant``, or ``DirectoryUnavailable`` where it cannot be told."""
        declared, answers = self._declared[database], self._answers[database]
        if not is_name(tenant, declared):
            raise no_name(tenant, [database])
        if (database, tenant) in self._guests:
            return self._guests[database, tenant]
        if not answers.directory.asks:
            found = answers.directory.find(tenant, databases, asyncio=asyncio)
        else:
            known = answers.known(tenant)
            if known is not None:
                found = known[0]
            elif asyncio and not in_greenlet():
                raise AmbiguousRoute(
                    f"Where tenant {tenant!r} of {database!r} is has to be asked, and only what is awaited can ask: "
                    "run a statement of the session first.",
                    [database],
                )
            else:
                found = answers.find(tenant, databases, asyncio=asyncio)
        if found is NOBODY:
            raise UnknownTenant(tenant, [database])
        return placed(declared, tenant, found)

    def is_known(self, database: str, tenant: str) -> bool:
        """Whether ``place`` needs to ask nobody."""
        answers = self._of(database)
        if not answers.directory.asks or not isinstance(tenant, str):
            return True
        return (database, tenant) in self._guests or answers.known(tenant) is not None

    def ask_about_nobody(self, database: str, databases: Any, *, asyncio: bool) -> None:
        """Raise what the directory raises, if it has to ask somebody."""
        directory = self.directory(database)
        if directory.asks and is_name(NOBODYS_NAME, self._declared[database]):
            directory.find(NOBODYS_NAME, databases, asyncio=asyncio)

    @contextmanager
    def including(self, placement: Placement, declared: Database | None = None) -> Iterator[None]:
        """Inside, there is one more tenant, or another place for one: ``declared``, if it has a URL of its own. For
        tests."""
        key = placement.database, placement.tenant
        before = self._guests.get(key)
        self._guests[key] = placement
        if declared is not None:
            self._places[declared.name] = declared
        try:
            yield
        finally:
            del self._guests[key]
            if before is not None:
                self._guests[key] = before

    def names(self, database: str, databases: Any, *, asyncio: bool = False) -> Iterator[tuple[str, Found]]:
        """The tenants of a database and their shards, in the order of their names, as the directory lists them."""
        listed = self.directory(database).names(databases, asyncio=asyncio)
        guests = {tenant: each.shard for (name, tenant), each in self._guests.items() if name == database}
        return iter(sorted({**dict(listed), **guests}.items())) if guests else listed

    def add(self, database: str, tenant: str, shard: Found, databases: Any, *, asyncio: bool = False) -> None:
        """Enter a tenant in the directory."""
        self.placed(database, tenant, shard)
        answers = self._of(database)
        answers.directory.add(tenant, shard, databases, asyncio=asyncio)
        answers.forget(tenant)

    def remove(self, database: str, tenant: str, databases: Any, *, asyncio: bool = False) -> None:
        """Take a tenant out of the directory: no session gets to it any more."""
        answers = self._of(database)
        answers.directory.remove(tenant, databases, asyncio=asyncio)
        answers.forget(tenant)

    def placed(self, database: str, tenant: str, shard: Found) -> Placement:
        """Where a tenant would be, known or not."""
        self._of(database)
        declared = self._declared[database]
        if not is_name(tenant, declared):
            raise no_name(tenant, [database])
        return self._guests.get((database, tenant)) or placed(declared, tenant, shard)

    def declaration(self, name: str) -> Database | None:
        """The declaration of one part, "crm@acme", as if it were a database; None where that is no part of any."""
        if name in self._places:
            return self._places[name]
        database, _, part = name.partition(AT)
        declared = self._declared.get(database)
        if declared is None or not part:
            return None
        shard, tenant = split(declared, part)
        if shard is not None and shard not in declared.shards:
            return None
        if tenant is not None and not is_name(tenant, declared):
            return None
        if declared.engine is not None:  # all its tenants are reached by that
            return declared.elsewhere(name, None, engine=declared.engine)
        url = declared.shards[shard] if shard is not None else declared.resolve_url()
        return declared.elsewhere(name, url if tenant is None else url_of(url, tenant))

    def directory(self, database: str) -> Directory:
        """Where a database looks its tenants up."""
        return self._of(database).directory

    def _of(self, database: str) -> Answers:
        try:
            return self._answers[database]
        except KeyError:
            raise ConfigurationError(f"Database {database!r} has no tenants: it declares no tenants=.") from None


def is_name(tenant: object, declared: Database) -> bool:
    return (
        isinstance(tenant, str)
        and HARMLESS.fullmatch(tenant) is not None
        and ".." not in tenant
        and declared.tenant_names.fullmatch(tenant) is not None
    )


def placed(declared: Database, tenant: str, shard: Found) -> Placement:
    if declared.shards and shard not in declared.shards:
        raise ConfigurationError(
            f"Database {declared.name!r}: the directory says that tenant {tenant!r} is in a shard that is not "
            f"declared. Declared: {', '.join(declared.shards)}."
        )
    shard = shard if declared.shards else None
    schema = None if declared.schema is None else declared.schema.replace(TENANT, tenant)
    parts = [each for each in (shard, tenant if has_own_url(declared) else None) if each is not None]
    name = f"{declared.name}{AT}{'.'.join(parts)}" if parts else declared.name
    if schema is not None and len(schema) > LONGEST:
        raise too_long(tenant, declared.name)
    return Placement(declared.name, tenant, shard, schema, name)


def has_own_url(declared: Database) -> bool:
    """Whether each tenant has a URL of its own."""
    return declared.engine is None and declared.schema is None and has_placeholder(declared.resolve_url())


def split(declared: Database, part: str) -> tuple[str | None, str | None]:
    """The shard and the tenant in the name of a part."""
    if not declared.shards:
        return None, part
    shard, _, tenant = part.partition(".")
    return shard, tenant or None


def url_of(url: URL, tenant: str) -> URL:
    """The URL of a tenant: its name has been found harmless, and stands in the database or the host only."""
    database = None if url.database is None else url.database.replace(TENANT, tenant)
    host = None if url.host is None else url.host.replace(TENANT, tenant)
    if url.get_backend_name() != "sqlite" and database is not None and len(database) > LONGEST:
        raise too_long(tenant, str(url.database))
    changed: Mapping[str, Any] = {"database": database, "host": host}
    return url.set(**{name: value for name, value in changed.items() if value is not None})


def no_name(tenant: object, databases: Sequence[str]) -> UnknownTenant:
    return UnknownTenant(tenant, databases, "cannot be one: tenant_names= allows no such name")


def too_long(tenant: str, where: str) -> UnknownTenant:
    return UnknownTenant(tenant, [where], f"has too long a name: the server takes {LONGEST} bytes")
