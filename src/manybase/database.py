"""Database: the frozen declaration of one database, and the URL and driver it resolves to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, Engine, make_url
from sqlalchemy import exc as sa_exc
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
TENANT = "{tenant}"  # stands for the name of a tenant, in a URL or in the name of a schema
TENANT_NAMES = r"[a-z0-9][a-z0-9_-]{0,47}"
HARMLESS = re.compile(r"[\w +./-]*")


@dataclass(frozen=True, eq=False, init=False)
class Replica:
    """One replica of a database, where its URL alone does not say it all: ``Database(..., replicas=[Replica(url)])``.

    Of two replicas, one with ``weight=2`` gets twice the sessions. ``engine`` and ``engine_options`` are as those of
    ``Database``, whose own options also go to its replicas.
    """

    url: URL | None
    weight: float
    engine: Engine | AsyncEngine | None
    engine_options: Mapping[str, Any] = field(repr=False)

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        weight: float = 1.0,
        engine: Engine | AsyncEngine | None = None,
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        if (url is None) is (engine is None):
            raise ConfigurationError("A replica has a URL, or an engine= of yours: Replica(url), Replica(engine=...).")
        if not weight > 0:
            raise ConfigurationError("The weight= of a replica is a number above 0; leave out one that is to be idle.")
        values = {
            "url": None if url is None else parse("replica", url),
            "weight": float(weight),
            "engine": engine,
            "engine_options": MappingProxyType(dict(engine_options or {})),
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def __repr__(self) -> str:
        """The backend: neither host, user nor password."""
        return f"Replica({self.url.drivername if self.url is not None else 'engine'}, weight={self.weight:g})"


@dataclass(frozen=True, eq=False, init=False)
class Database:
    """One declared database: its name, how to reach it, and the models that live in it.

    ``url`` is a string, a :class:`sqlalchemy.URL`, or left out: then it is read from ``MANYBASE_<NAME>_URL`` or
    ``<NAME>_DATABASE_URL`` when first needed. ``engine`` takes an existing ``Engine`` or ``AsyncEngine`` instead; it
    stays yours to dispose. ``models`` names what lives here: dotted modules, declarative bases, mapped classes,
    ``Table`` or ``MetaData`` objects, one or several. ``shared_models=True`` says that other databases may claim the
    same models (one per region, say): a session must then be told which one. ``required=True`` makes readiness depend
    on this database, as it always does on the default one. ``engine_options`` go to ``create_engine``.

    ``migrations`` is the directory of its revisions, if not one of its own name in that of ``Databases``; databases
    with the same directory share a history, and so do those that share their models. A directory of Alembic's with an
    ``env.py`` works as it is. ``manage_schema=False``: its schema is somebody else's, and no migration touches it.

    ``replicas`` are URLs (or ``Replica`` objects) of servers that follow this one; there, sessions with the role
    "replica" read. One that is more than ``max_lag`` seconds behind gets none of them. Where no replica can serve, the
    primary does, unless ``fallback=False``: then ``NoReplica`` is raised.

    ``tenants`` is the directory of those who have a part of their own in it: a mapping, a collection of names, a
    function that finds one, a column of names in another database, or a ``TenantDirectory``. The part is a database
    where the URL says ``{tenant}``, a schema where ``schema="t_{tenant}"`` does, and one of the ``shards`` (URLs by
    name) where the directory gives each tenant the name of one. ``tenant_names`` is a pattern that a name must match
    as a whole, by default lower case letters, digits, ``_`` and ``-``, at most 48 of them.

    Raises ``ConfigurationError`` for a name, a URL or a combination that cannot work.
    """

    name: str
    url: URL | None
    models: tuple[Any, ...]
    default: bool
    engine: Engine | AsyncEngine | None
    shared_models: bool
    required: bool
    migrations: str | None
    manage_schema: bool
    engine_options: Mapping[str, Any] = field(repr=False)
    replicas: tuple[Replica, ...]
    max_lag: float
    fallback: bool
    tenants: Any
    schema: str | None
    shards: Mapping[str, URL]
    tenant_names: re.Pattern[str]

    def __init__(
        self,
        name: str,
        url: str | URL | None = None,
        *,
        models: Any = (),
        default: bool = False,
        engine: Engine | AsyncEngine | None = None,
        shared_models: bool = False,
        required: bool = False,
        migrations: str | os.PathLike[str] | None = None,
        manage_schema: bool = True,
        engine_options: Mapping[str, Any] | None = None,
        replicas: Sequence[str | URL | Replica] = (),
        max_lag: float = 30.0,
        fallback: bool = True,
        tenants: Any = None,
        schema: str | None = None,
        shards: Mapping[str, str | URL] | None = None,
        tenant_names: str = TENANT_NAMES,
    ) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{shown(name)} is not a name for a database. The name comes first, as in Database('shop', url): a "
                "letter, then letters, digits, '_' or '-'."
            )
        if engine is not None and not isinstance(engine, (Engine, AsyncEngine)):
            raise ConfigurationError(
                f"Database {name!r}: engine= takes an Engine or an AsyncEngine, not {type(engine).__name__}."
            )
        if engine is not None and (url is not None or engine_options):
            raise ConfigurationError(f"Database {name!r} has an engine= of its own: leave out url and engine_options.")
        if migrations is not None and not manage_schema:
            raise ConfigurationError(f"Database {name!r} has manage_schema=False: leave out migrations.")
        values = {
            "name": name,
            "url": None if url is None else parse(name, url),
            "models": as_tuple(models),
            "default": default,
            "engine": engine,
            "shared_models": shared_models,
            "required": required,
            "migrations": None if migrations is None else os.fspath(migrations),
            "manage_schema": manage_schema,
            "engine_options": MappingProxyType(dict(engine_options or {})),
            "replicas": tuple(as_replica(name, each) for each in as_several(name, replicas)),
            "max_lag": max_lag,
            "fallback": fallback,
            "tenants": tenants,
            "schema": schema,
            "shards": MappingProxyType({shard: parse(name, each) for shard, each in (shards or {}).items()}),
            "tenant_names": pattern(name, tenant_names),
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        check_tenancy(self)

    def __repr__(self) -> str:
        """The name and the backend: neither host, user nor password."""
        where = "engine" if self.engine is not None else self.url.drivername if self.url else "URL from the environment"
        return f"Database({self.name!r}, {where}{', default=True' if self.default else ''})"

    @property
    def environment_variables(self) -> tuple[str, str]:
        """The variables that may hold the URL, the first one found wins."""
        name = self.name.upper().replace("-", "_")
        return f"MANYBASE_{name}_URL", f"{name}_DATABASE_URL"

    def of_replica(self, number: int) -> Database:
        """The declaration of one replica, as if it were a database: "shop/1" for the first one of "shop"."""
        replica = self.replicas[number - 1]
        return self.elsewhere(
            f"{self.name}/{number}", replica.url, engine=replica.engine, engine_options=replica.engine_options
        )

    def elsewhere(
        self,
        name: str,
        url: URL | None,
        *,
        engine: Engine | AsyncEngine | None = None,
        engine_options: Mapping[str, Any] | None = None,
    ) -> Database:
        """This declaration under another name and for another place; ``engine_options`` over its own."""
        declared = object.__new__(Database)
        values = {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "name": name,
            "url": url,
            "engine": engine,
            "engine_options": MappingProxyType({**self.engine_options, **(engine_options or {})}),
            "default": False,
            "replicas": (),
            "tenants": None,
            "schema": None,
            "shards": MappingProxyType({}),
        }
        for attribute, value in values.items():
            object.__setattr__(declared, attribute, value)
        return declared

    def resolve_url(self) -> URL:
        """The declared URL, or the one in the environment; ``ConfigurationError`` where there is neither."""
        if self.url is not None:
            return self.url
        if self.shards:
            return next(iter(self.shards.values()))
        for variable in self.environment_variables:
            if value := os.environ.get(variable):
                return self._checked(parse(self.name, value, f" in {variable}"))
        raise ConfigurationError(
            f"Database {self.name!r} has no URL. Give one to Database({self.name!r}, url), or set "
            f"{' or '.join(self.environment_variables)}."
        )

    def _checked(self, url: URL) -> URL:
        if has_placeholder(url) is not (self.tenants is not None and self.schema is None):
            raise ConfigurationError(
                shares_everything(self.name)
                if self.tenants is not None and self.schema is None
                else f"Database {self.name!r}: its URL says {TENANT}, and its declaration says no tenants=, or schema= "
                "already."
            )
        return url


def has_placeholder(url: URL) -> bool:
    """Whether a URL is one for each tenant."""
    return any(TENANT in str(part) for part in (url.database, url.host) if part is not None)


def pattern(name: str, written: str) -> re.Pattern[str]:
    try:
        return re.compile(written, re.ASCII)
    except re.error as error:
        raise ConfigurationError(f"Database {name!r}: tenant_names= is no regular expression: {error}.") from None


def check_tenancy(declared: Database) -> None:
    """Whether each tenant can have a part of its own; a URL from the environment is checked when it is read."""
    name, shards = declared.name, declared.shards
    if declared.tenants is None:
        if declared.schema is not None or shards or (declared.url is not None and has_placeholder(declared.url)):
            raise ConfigurationError(
                f"Database {name!r} has schema=, shards= or {TENANT} in its URL, and nothing says who the tenants "
                "are: pass tenants=, such as a mapping, a collection of names, or a function that finds one."
            )
        return
    if shards and (declared.url is not None or declared.engine is not None):
        raise ConfigurationError(f"Database {name!r} has shards=: leave out its url and engine.")
    if wrong := [shard for shard in shards if not isinstance(shard, str) or not NAME.fullmatch(shard)]:
        raise ConfigurationError(
            f"Database {name!r}: {shown(wrong[0])} is not a name for a shard: a letter, then letters, digits, '_' or "
            "'-'."
        )
    if declared.replicas:
        raise ConfigurationError(
            f"Database {name!r} has tenants= and replicas=: replicas of tenant databases are not known here. Leave "
            "out one of them; sessions with role='replica' then read from the primary."
        )
    if declared.schema is not None and TENANT not in declared.schema:
        raise ConfigurationError(f"Database {name!r}: write {TENANT} in schema=, as in schema='t_{TENANT}'.")
    urls = [*shards.values()] if shards else [declared.url] if declared.url is not None else []
    placed = {has_placeholder(each) for each in urls}
    if len(placed) > 1:
        raise ConfigurationError(f"Database {name!r}: {TENANT} is in the URLs of all its shards, or of none.")
    if declared.schema is not None and True in placed:
        raise ConfigurationError(f"Database {name!r} has {TENANT} in schema= and in its URL: one of them is enough.")
    if urls and declared.schema is None and not shards and True not in placed:
        raise ConfigurationError(shares_everything(name))
    if declared.engine is not None and declared.schema is None:
        raise ConfigurationError(shares_everything(name))


def shares_everything(name: str) -> str:
    return (
        f"Database {name!r} has tenants=, and all of them would share its tables. Write {TENANT} in the URL for a "
        f"database each, or pass schema='t_{TENANT}' for a schema each, or shards={{...}}."
    )


def parse(name: str, url: object, where: str = "") -> URL:
    """The URL, checked as far as it goes without a driver; an error never repeats it, it may hold a password."""
    if isinstance(url, URL):
        return known_backend(name, url, where)
    if not isinstance(url, str):
        raise ConfigurationError(
            f"Database {name!r}: its URL is a string or a sqlalchemy.URL, not {shown(url)}. Give an existing engine "
            "as engine=."
        )
    try:
        parsed = make_url(url)
    except (sa_exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None:  # outside the except block: the original error repeats the URL
        raise ConfigurationError(
            f"Database {name!r}: the URL{where} cannot be read. Write it as "
            "postgresql://user:password@host/database, mysql://..., or sqlite:///file; "
            "quote special characters of a password with urllib.parse.quote_plus, or use sqlalchemy.URL.create."
        )
    return known_backend(name, parsed, where)


def known_backend(name: str, url: URL, where: str) -> URL:
    try:
        url.get_dialect()
    except (sa_exc.NoSuchModuleError, sa_exc.ArgumentError, ValueError):
        known = False
    except ImportError:
        known = True  # the dialect exists, what it needs is not installed: said when a session asks
    else:
        known = True
    if not known:
        hint = "Write postgresql:// instead. " if url.get_backend_name() == "postgres" else ""
        raise ConfigurationError(
            f"Database {name!r}: SQLAlchemy knows no dialect or driver {shown(url.drivername)}{where}. {hint}"
            "Known without a plugin: postgresql, mysql, mariadb, sqlite, oracle, mssql."
        )
    return url


def as_several(name: str, replicas: Any) -> Sequence[Any]:
    if not isinstance(replicas, (list, tuple)) or isinstance(replicas, URL):  # a URL is a tuple
        raise ConfigurationError(f"Database {name!r}: replicas= takes a list of URLs, also where there is only one.")
    return replicas


def as_replica(name: str, given: Any) -> Replica:
    return given if isinstance(given, Replica) else Replica(parse(name, given))


def as_tuple(models: Any) -> tuple[Any, ...]:
    """One thing or several, as a tuple."""
    several = isinstance(models, (list, tuple, set, frozenset)) and not isinstance(models, URL)  # a URL is a tuple
    return tuple(models) if several else (models,)


def shown(value: object) -> str:
    """What was given, for a message: a text only where it cannot be a URL or a DSN, which may hold a password."""
    if isinstance(value, str):
        return repr(value) if HARMLESS.fullmatch(value) else "a text that may hold a password"
    return repr(value) if isinstance(value, type) else f"an object of type {type(value).__name__}"
