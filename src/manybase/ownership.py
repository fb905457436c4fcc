"""Ownership: which databases own a table, from what the declarations claim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from threading import RLock
from typing import Any

from sqlalchemy import ForeignKey, MetaData, Table
from sqlalchemy.exc import NoReferencedTableError, NoReferenceError
from sqlalchemy.orm import Mapper
from sqlalchemy.schema import sort_tables_and_constraints

from manybase.belonging import mark_when_loaded
from manybase.claims import (
    check_model,
    claimed_mappers,
    claimed_tables,
    has_own_metadata,
    import_models,
    loose_tables,
    subclasses,
)
from manybase.database import Database
from manybase.errors import ConfigurationError
from manybase.models import Model
from manybase.relationships import load_across_by_selectin

Owners = frozenset[str]


class Ownership:
    """Answers which databases own a table or a mapped class."""

    def __init__(self, declarations: Sequence[Database]) -> None:
        self.declarations = {database.name: database for database in declarations}
        defaults = [database.name for database in declarations if database.default]
        self.default = defaults[0] if defaults else declarations[0].name if len(declarations) == 1 else None
        self.loaded = False
        self._scanning = False
        self._lock = RLock()
        self._claims: dict[Table, set[str]] = {}
        self._owners: dict[Table, Owners] = {}
        self._owners_of: dict[Mapper[Any], Owners] = {}
        self._classes: list[Mapper[Any]] = []
        self._seen: set[Mapper[Any]] = set()
        for database in declarations:
            for model in database.models:
                check_model(database.name, model)

    def load(self) -> None:
        """Import the modules and read the claims, once; ``ConfigurationError`` where they contradict each other."""
        if self.loaded:
            return
        with self._lock:
            for name, model in self.entries():
                if isinstance(model, str):
                    import_models(name, model)
            self.scan()
            self.loaded = True

    def scan(self) -> None:
        """Read the claims anew: classes may have been defined since the last time."""
        with self._lock:
            self._scanning = True
            try:
                self.read_claims()
            finally:
                self._scanning = False

    def read_claims(self) -> None:
        claims: dict[Table, set[str]] = defaultdict(set)
        bases = {model for _, model in self.entries() if isinstance(model, type)}.union(models_that_name_a_database())
        for name, model in self.entries():
            for table in claimed_tables(model, bases):
                claims[table].add(name)
        for table, names in self.loose_claims().items():
            if table not in claims and self.may_hold_together(names):
                claims[table] = names
        for table in [*claims, *tables_of_models()]:
            named = named_in_info(table)
            # models= is complete where it is given: a base of that name elsewhere may be another program's.
            if named in self.declarations and (table in claims or not self.declarations[named].models):
                claims[table].add(named)
        for table, names in claims.items():
            self.check(table, names)
        self._claims, self._owners, self._owners_of = claims, {}, {}
        self._classes = [mapper for _, model in self.entries() for mapper in claimed_mappers(model, bases)]
        for mapper in self._classes:
            self.see(mapper)

    def owners(self, table: Table) -> Owners:
        """The databases that own ``table``: one, or several that share their models; an error if there is none."""
        try:
            return self._owners[table]
        except KeyError:
            canonical = table.metadata.tables.get(table.key, table)  # without an ORM statement's annotations
            self._owners[canonical] = owners = self.find_owners(canonical)
            return owners

    def owners_of(self, mapper: Mapper[Any]) -> Owners:
        """The databases that own a mapped class, that is all of its tables."""
        if mapper in self._owners_of:
            return self._owners_of[mapper]
        self.see(mapper)
        tables = [table for table in mapper.tables if isinstance(table, Table)]
        owners = frozenset.intersection(*map(self.owners, tables)) if tables else frozenset[str]()
        self._owners_of[mapper] = owners
        return owners

    def see(self, mapper: Mapper[Any]) -> None:
        """Check a mapped class once, and make its relationships into other databases load by SELECT ... IN."""
        if mapper in self._seen:
            return
        self._seen.add(mapper)  # first, for its relationships lead back to it
        try:
            self.check_mapper(mapper)
            load_across_by_selectin(mapper, self)
            if any(self.declarations[name].tenants is not None for name in self.owners_of(mapper)):
                mark_when_loaded(mapper)
        except BaseException:
            self._seen.discard(mapper)  # refused again the next time, or repaired by then
            self._owners_of.pop(mapper, None)
            raise

    def check_mapper(self, mapper: Mapper[Any]) -> None:
        if not self.owners_of(mapper) and any(isinstance(table, Table) for table in mapper.tables):
            where = ", ".join(
                f"{t.fullname}: {'/'.join(self.owners(t))}" for t in mapper.tables if isinstance(t, Table)
            )
            raise ConfigurationError(
                f"Class {mapper.class_.__name__!r} has tables in several databases ({where}). An inheritance "
                "hierarchy lives in one database."
            )

    def tables(self, name: str) -> tuple[Table, ...]:
        """The tables of a database, those that others point at first.

        Empty where its models have no tables; ``ConfigurationError`` where it declares no models at all.
        """
        self.load()
        self.scan()
        metadatas = dict.fromkeys(table.metadata for table in self._claims)
        tables = [table for metadata in metadatas for table in metadata.tables.values() if name in self.owners(table)]
        if not tables and not self.declares_models(name):
            raise ConfigurationError(
                f"Database {name!r} declares no models. Name them: Database({name!r}, ..., models=...)."
            )
        return in_order(tables)

    def declares_models(self, name: str) -> bool:
        """Whether anything claims to live in a database, be it a module without a single table."""
        return bool(self.declarations[name].models) or any(m.info["database"] == name for m in metadatas_of_models())

    def entries(self) -> Iterator[tuple[str, Any]]:
        yield from ((database.name, model) for database in self.declarations.values() for model in database.models)

    def loose_claims(self) -> dict[Table, set[str]]:
        found: dict[Table, set[str]] = defaultdict(set)
        for name, model in self.entries():
            for table in loose_tables(model):
                found[table].add(name)
        return found

    def find_owners(self, table: Table) -> Owners:
        if table not in self._claims and not self._scanning:
            self.scan()
        if claimed := self._claims.get(table):
            return frozenset(claimed)
        if name := named_in_info(table):
            return frozenset({self.declared(table, name)})
        if beside := self.owners_beside(table):
            return beside
        if self.default is not None:
            return frozenset({self.default})
        raise ConfigurationError(
            f"Table {table.fullname!r} belongs to no database. Declared: {', '.join(self.declarations)}. Name its "
            "module, base or class in models= of one of them, or declare one of them with default=True."
        )

    def declared(self, table: Table, name: str) -> str:
        if name not in self.declarations:
            raise ConfigurationError(
                f"Table {table.fullname!r} says that it lives in database {name!r}, which is not declared. Declared: "
                f"{', '.join(self.declarations)}. Correct its database=, or declare that database."
            )
        return name

    def owners_beside(self, table: Table) -> Owners:
        """Where an unclaimed association table goes: to the tables it points at, or to all classes of its MetaData.

        Nowhere if a class is mapped to it: that class would have been named.
        """
        mappers = {mapper for known in {each.registry for each in self._classes} for mapper in known.mappers}
        mapped = {each for mapper in mappers for each in mapper.tables if isinstance(each, Table)}
        if table in mapped:
            return frozenset()
        default = {self.default} if self.default else set()
        targets = {target_of(key) for key in table.foreign_keys if "cross_database" not in key.info} & mapped
        if len(beside := {frozenset(self._claims.get(target, default)) for target in targets}) == 1:
            return beside.pop()
        homes = {frozenset(self._claims[t]) for t in mapped if t.metadata is table.metadata and t in self._claims}
        return homes.pop() if len(homes) == 1 else frozenset()

    def check(self, table: Table, names: set[str]) -> None:
        if not self.may_hold_together(names):
            raise ConfigurationError(
                f"Table {table.fullname!r} is claimed by {' and '.join(sorted(names))}. Name it in models= of one of "
                "them, or declare each of them with shared_models=True if each holds such a table."
            )

    def may_hold_together(self, names: set[str]) -> bool:
        return len(names) == 1 or all(self.declarations[name].shared_models for name in names)


def named_in_info(table: Table) -> str | None:
    name: str | None = table.info.get("database") or table.metadata.info.get("database")
    return name


def target_of(key: ForeignKey) -> Any:
    try:
        return key.column.table
    except NoReferenceError:
        return None


def in_order(tables: list[Table]) -> tuple[Table, ...]:
    """``tables``, those that others point at first, whichever ``MetaData`` they are in."""
    try:
        by_name = sorted(tables, key=lambda table: table.key)
        ordered = sort_tables_and_constraints(by_name)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
    except NoReferencedTableError as error:
        raise ConfigurationError(
            f"{error}. If table {error.table_name!r} lives in another database, write cross_key(Target.id) instead of "
            "ForeignKey; if in another MetaData, ForeignKey(Target.id); else name its module in models= too."
        ) from None
    return tuple(table for table, _ in ordered if table is not None)


def models_that_name_a_database() -> Iterator[type[Model]]:
    yield from (cls for cls in subclasses(Model) if has_own_metadata(cls) and "database" in cls.metadata.info)


def metadatas_of_models() -> Iterator[MetaData]:
    yield from (cls.metadata for cls in models_that_name_a_database())


def tables_of_models() -> Iterator[Table]:
    for metadata in metadatas_of_models():
        yield from list(metadata.tables.values())
