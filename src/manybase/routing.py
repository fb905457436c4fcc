"""Routing: which database a statement goes to. Pure: nothing here opens a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ClauseElement, Dialect, Table, TextClause, exc
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors

from manybase.errors import AmbiguousRoute, CrossDatabaseError, RoutingError, UnknownDatabase
from manybase.ownership import Owners, Ownership
from manybase.scope import Scope
from manybase.tables import tables_of

PINNED_ADVICE = (
    "It is to run on {0!r} alone. Leave that choice out, and a session that is not pinned joins them; or run one "
    "statement per database."
)
DML_ADVICE = "A write goes to one database: fetch the keys first, then write with .in_(...)."


NO_TABLES: Owners = frozenset()


class ReadBy(frozenset[str]):
    """The databases that could run a statement which only reads."""


class Across(frozenset[str]):
    """The databases that a SELECT needs together, for none owns all of its tables; ``tables`` by who owns them."""

    tables: Mapping[str, Sequence[str]]
    shared: tuple[str, ...] = ()  # those of them that several databases hold


@dataclass(frozen=True, slots=True)
class Route:
    """Where a statement goes, and why."""

    database: str
    shard: str | None = None
    role: str = "primary"
    reason: str = ""
    tenant: str | None = None


class Router:
    """From a statement to the databases that could run it, remembered per statement shape."""

    def __init__(self, ownership: Ownership, dialects: Callable[[], Iterable[Dialect]], *, size: int = 2_000) -> None:
        self.ownership = ownership
        self._dialects = dialects
        self._size = size
        # Two generations instead of a list by age: a hit costs one look-up, and nothing is moved.
        self._recent: dict[Any, Owners] = {}
        self._older: dict[Any, Owners] = {}

    def candidates(self, clause: ClauseElement, mapper: Mapper[Any] | None = None) -> Owners:
        """The databases that own all tables of a statement; empty for one without tables.

        ``Across`` for a SELECT where no database owns them all; ``CrossDatabaseError`` for a write.
        """
        if isinstance(clause, TextClause):
            return NO_TABLES
        key = cache_key(clause)
        if key is None:
            return self.find(clause, mapper)
        found = self._recent.get(key)
        return self.remember(key, clause, mapper) if found is None else found

    def remember(self, key: Any, clause: ClauseElement, mapper: Mapper[Any] | None) -> Owners:
        found = self._older.get(key)
        if found is None:
            found = self.find(clause, mapper)
        if len(self._recent) >= self._size // 2:
            self._older, self._recent = self._recent, {}
        self._recent[key] = found
        return found

    def find(self, clause: ClauseElement, mapper: Mapper[Any] | None) -> Owners:
        for each in {mapper, *mappers_of(clause)} - {None}:
            self.ownership.see(cast("Mapper[Any]", each))  # its relationships may change what the statement joins
        tables = tables_of(clause, self._dialects)
        if not tables:
            return NO_TABLES
        owners = self.common_owners(tables, clause)
        return ReadBy(owners) if tables.reads and not isinstance(owners, Across) else owners

    def common_owners(self, tables: Iterable[Table], clause: ClauseElement) -> Owners:
        owners = {table: self.ownership.owners(table) for table in tables}
        common = frozenset.intersection(*owners.values())
        if common:
            return common
        by_database: dict[str, list[str]] = {}
        for table, names in owners.items():
            by_database.setdefault("/".join(sorted(names)), []).append(table.fullname)
        if not is_select(clause):
            raise CrossDatabaseError(by_database, DML_ADVICE)
        across = Across(name for names in owners.values() for name in names)
        across.tables = by_database
        across.shared = tuple(sorted(table.fullname for table, names in owners.items() if len(names) > 1))
        return across

    def choose(self, candidates: Owners, scope: Scope, named: str | None = None) -> Route:
        """One of the candidates: the only one, the one the statement names, or the one the session is pinned to."""
        if named is not None and named not in self.ownership.declarations:
            raise UnknownDatabase(named, self.ownership.declarations)
        if named is not None and scope.database not in (None, named):
            raise RoutingError(
                f"The statement asks for database {named!r}, and the session is pinned to {scope.database!r}. "
                "Use a session without database=."
            )
        asked = named or scope.database
        if isinstance(candidates, Across):
            if asked is not None:
                raise CrossDatabaseError(candidates.tables, PINNED_ADVICE.format(asked))
            if candidates.shared:
                raise which_of_them(candidates)
            return Route(" + ".join(sorted(candidates)), reason="a select over several databases")
        if not candidates:
            return self.without_tables(asked, "named" if named else "pinned")
        if asked is None:
            return only(candidates)
        if asked in candidates:
            return Route(asked, reason=f"{'named' if named else 'pinned'}, and it owns the tables")
        raise RoutingError(
            f"{'The statement names' if named else 'The session is pinned to'} database {asked!r}, and the tables of "
            f"the statement belong to {' or '.join(sorted(candidates))}. Use a session that may touch it."
        )

    def without_tables(self, asked: str | None, why: str) -> Route:
        if asked is not None:
            return Route(asked, reason=f"{why}; the statement has no tables")
        if self.ownership.default is not None:
            return Route(self.ownership.default, reason="the default; the statement has no tables")
        declared = ", ".join(self.ownership.declarations)
        raise AmbiguousRoute(
            "A statement without tables, such as text(), says not where it goes, and there is no default database. "
            f"Declared: {declared}. Pass bind_arguments={{'database': name}}, or pin the session with database=.",
            self.ownership.declarations,
        )


def only(candidates: Owners) -> Route:
    if len(candidates) == 1:
        (name,) = candidates
        return Route(name, reason="owns all tables of the statement")
    raise AmbiguousRoute(
        f"Several databases hold these models: {', '.join(sorted(candidates))}. Say which one: "
        "Session(databases, database=name), or bind_arguments={'database': name}.",
        sorted(candidates),
    )


def which_of_them(across: Across) -> AmbiguousRoute:
    holders = sorted({name for owners in across.tables if "/" in owners for name in owners.split("/")})
    return AmbiguousRoute(
        f"{', '.join(across.shared)}: held by several databases, {', '.join(holders)}, and the statement needs tables "
        "of others too. It cannot say which of them is meant: select from one of them alone, with database=.",
        holders,
    )


def is_select(clause: ClauseElement) -> bool:
    """Whether it only selects: no part of it writes, such as a CTE."""
    return getattr(clause, "is_select", False) and not any(
        getattr(each, "is_dml", False) for each in visitors.iterate(clause)
    )


def mappers_of(clause: ClauseElement) -> set[Mapper[Any] | None]:
    try:
        described = clause.column_descriptions  # type: ignore[attr-defined]  # Select has it
    except (AttributeError, NotImplementedError, exc.SQLAlchemyError):
        return set()
    return {getattr(each.get("entity"), "__mapper__", None) for each in described}


def cache_key(clause: ClauseElement) -> Any:
    # Private: ClauseElement._generate_cache_key (SQLAlchemy 2.0 and 2.1), the key SQLAlchemy's own statement cache
    # uses. It is memoised on the statement, and execution needs it anyway. There is no public name for it.
    # test_routing.py fails when it changes.
    generate = getattr(clause, "_generate_cache_key", None)
    key = generate() if generate is not None else None
    return None if key is None else key.key
