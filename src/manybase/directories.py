"""Directories: who the tenants of a database are, and which shard each lives in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import Any

from sqlalchemy import Column, Table, delete, insert, inspect, select
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import QueryableAttribute

from manybase.calling import call
from manybase.database import Database, shown
from manybase.errors import ConfigurationError

Found = str | None  # the name of a shard; None where there are none
NOBODY: Any = object()  # what a directory answers that does not know a tenant


class Directory:
    """Answers who is a tenant. ``asks``: it has to ask somebody, so its answers are kept for ``believed`` seconds."""

    asks = False
    believed = 60.0
    lists = True  # whether it can tell all tenants
    adds = removes = True  # whether it can be changed from here

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        """The shard of a tenant, None where it needs none, or ``NOBODY``."""
        raise NotImplementedError

    def names(self, databases: Any, *, asyncio: bool) -> Iterator[tuple[str, Found]]:
        """All tenants and their shards; ``ConfigurationError`` where nobody can list them."""
        raise ConfigurationError(
            "Who the tenants are is known to a function that finds one by name, and it cannot list them. Pass "
            "TenantDirectory(find, names=...)."
        )

    def add(self, tenant: str, shard: Found, databases: Any, *, asyncio: bool) -> None:
        """Enter a tenant; nothing changes where it is there."""
        raise unchangeable("add")

    def remove(self, tenant: str, databases: Any, *, asyncio: bool) -> None:
        """Take a tenant out; nothing changes where it is not there."""
        raise unchangeable("remove")


class Names(Directory):
    """A collection of names. A set that is changed later counts as it is then."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names if isinstance(names, MutableSet) else frozenset(names)
        self.adds = self.removes = isinstance(names, MutableSet)

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        return None if tenant in self._names else NOBODY

    def names(self, databases: Any, *, asyncio: bool) -> Iterator[tuple[str, Found]]:
        yield from ((name, None) for name in sorted(self._names))

    def add(self, tenant: str, shard: Found, databases: Any, *, asyncio: bool) -> None:
        if not isinstance(self._names, MutableSet):
            raise unchangeable("add")
        self._names.add(tenant)

    def remove(self, tenant: str, databases: Any, *, asyncio: bool) -> None:
        if not isinstance(self._names, MutableSet):
            raise unchangeable("remove")
        self._names.discard(tenant)


class ByName(Directory):
    """A mapping by name, to the name of a shard where the database has some. It counts as it is at the moment."""

    def __init__(self, mapping: Mapping[str, Any], *, sharded: bool) -> None:
        self._mapping = mapping
        self._sharded = sharded
        self.adds = self.removes = isinstance(mapping, MutableMapping)

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        found = self._mapping.get(tenant, NOBODY)
        return found if found is NOBODY or self._sharded else None

    def names(self, databases: Any, *, asyncio: bool) -> Iterator[tuple[str, Found]]:
        yield from ((name, each if self._sharded else None) for name, each in sorted(self._mapping.items()))

    def add(self, tenant: str, shard: Found, databases: Any, *, asyncio: bool) -> None:
        if not isinstance(self._mapping, MutableMapping):
            raise unchangeable("add")
        self._mapping.setdefault(tenant, shard)

    def remove(self, tenant: str, databases: Any, *, asyncio: bool) -> None:
        if not isinstance(self._mapping, MutableMapping):
            raise unchangeable("remove")
        self._mapping.pop(tenant, None)


class TenantDirectory(Directory):
    """Functions of yours that know the tenants, sync or async: ``tenants=TenantDirectory(find, names=...)``.

    ``find(name)`` returns the shard of a tenant, ``True`` where the database has no shards, and None or False for
    somebody unknown. ``names()`` lists the tenants, as names or as pairs of name and shard: it is needed for what goes
    through all of them, such as migrations. ``add(name, shard)`` and ``remove(name)`` are needed by ``manybase tenants
    create`` and ``drop``; both may be called again for the same name. An answer of ``find`` is kept for ``believed``
    seconds, and longer while it fails. Async functions serve async sessions; sync ones serve both kinds, in a thread
    where they would block an event loop.
    """

    asks = True

    def __init__(
        self,
        find: Callable[[str], Any],
        *,
        names: Callable[[], Any] | None = None,
        add: Callable[[str, Found], Any] | None = None,
        remove: Callable[[str], Any] | None = None,
        believed: float = 60.0,
    ) -> None:
        self._find = find
        self._names = names
        self._add = add
        self._remove = remove
        self.lists, self.adds, self.removes = names is not None, add is not None, remove is not None
        self.believed = believed

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        found = call(self._find, tenant, asyncio=asyncio)
        if found is None or found is False:
            return NOBODY  # type: ignore[no-any-return]
        return None if found is True else found

    def names(self, databases: Any, *, asyncio: bool) -> Iterator[tuple[str, Found]]:
        if self._names is None:
            yield from super().names(databases, asyncio=asyncio)
            return
        listed: Iterable[Any] = call(self._names, asyncio=asyncio)
        yield from sorted((each, None) if isinstance(each, str) else tuple(each) for each in listed)

    def add(self, tenant: str, shard: Found, databases: Any, *, asyncio: bool) -> None:
        if self._add is None:
            raise unchangeable("add")
        call(self._add, tenant, shard, asyncio=asyncio)

    def remove(self, tenant: str, databases: Any, *, asyncio: bool) -> None:
        if self._remove is None:
            raise unchangeable("remove")
        call(self._remove, tenant, asyncio=asyncio)


class TenantTable(Directory):
    """A table in another declared database: ``tenants=TenantTable(Customer.slug, shard=Customer.shard)``.

    ``name`` is the column (or mapped attribute) with the names of the tenants, ``shard`` that with the names of their
    shards. ``tenants=Customer.slug`` says the same where there are no shards. ``manybase tenants create`` inserts a
    row with these columns, and ``values`` for others. An answer is kept for ``believed`` seconds.
    """

    asks = True

    def __init__(
        self,
        name: Any,
        *,
        shard: Any = None,
        values: Mapping[str, Any] | None = None,
        believed: float = 60.0,
    ) -> None:
        self._name = column_of(name)
        self._shard = None if shard is None else column_of(shard)
        self._values = dict(values or {})
        self.believed = believed
        if self._shard is not None and self._shard.table is not self._name.table:
            raise ConfigurationError("TenantTable: the columns of name and shard are those of one table.")

    @property
    def table(self) -> Table:
        table: Table = self._name.table
        return table

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        columns = [self._name] if self._shard is None else [self._name, self._shard]
        with databases.beside(self._home(databases), asyncio=asyncio) as connection:
            row = connection.execute(select(*columns).where(self._name == tenant)).first()
        if row is None or row[0] != tenant:  # where the database is blind to case
            return NOBODY  # type: ignore[no-any-return]
        return None if self._shard is None else row[1]

    def names(self, databases: Any, *, asyncio: bool) -> Iterator[tuple[str, Found]]:
        columns = [self._name] if self._shard is None else [self._name, self._shard]
        with databases.beside(self._home(databases), asyncio=asyncio) as connection:
            rows = connection.execute(select(*columns).order_by(self._name)).all()
        yield from ((row[0], None if self._shard is None else row[1]) for row in rows)

    def add(self, tenant: str, shard: Found, databases: Any, *, asyncio: bool) -> None:
        if self.find(tenant, databases, asyncio=asyncio) is not NOBODY:
            return
        values = {**self._values, self._name.key: tenant}
        if self._shard is not None:
            values[self._shard.key] = shard
        with databases.beside(self._home(databases), asyncio=asyncio) as connection:
            connection.execute(insert(self.table).values(values))

    def remove(self, tenant: str, databases: Any, *, asyncio: bool) -> None:
        with databases.beside(self._home(databases), asyncio=asyncio) as connection:
            connection.execute(delete(self.table).where(self._name == tenant))

    def _home(self, databases: Any) -> str:
        databases.load()
        (home, *more) = databases.ownership.owners(self.table)
        if more or databases[home].tenants is not None:
            raise ConfigurationError(
                f"Table {self.table.fullname!r} says who the tenants are, so it lives in one database, which has no "
                "tenants itself."
            )
        return str(home)


def directory_of(declared: Database) -> Directory:
    """The directory that ``tenants=`` of a declaration means."""
    given = declared.tenants
    if isinstance(given, Directory):
        return given
    if isinstance(given, (QueryableAttribute, Column)):
        return TenantTable(given)
    if isinstance(given, Mapping):
        return ByName(given, sharded=bool(declared.shards))
    if callable(given):
        return TenantDirectory(given)
    if declared.shards:
        raise ConfigurationError(
            f"Database {declared.name!r} has shards=: its tenants= says in which shard each lives, such as a mapping "
            "of the names to those of shards."
        )
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        return Names(given if isinstance(given, Collection) else list(given))
    raise ConfigurationError(
        f"Database {declared.name!r}: tenants= takes a mapping, a collection of names, a function, a column, or a "
        f"TenantDirectory, not {shown(given)}."
    )


def column_of(given: Any) -> Any:
    """The column of a table, given as such or as a mapped attribute."""
    try:
        columns = inspect(given).property.columns if isinstance(given, QueryableAttribute) else [given]
    except (AttributeError, NoInspectionAvailable):
        columns = []
    if len(columns) == 1 and isinstance(columns[0], Column) and isinstance(columns[0].table, Table):
        return columns[0]
    raise ConfigurationError(
        f"TenantTable takes columns of a table, or mapped attributes of columns, not {shown(given)}."
    )


def unchangeable(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"This directory of tenants cannot be changed from here. Use a table of a declared database, a dict or a set, "
        f"or pass TenantDirectory(find, {what}=...)."
    )
