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
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

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
        }
        for attribute, value in values.items():
            object.__setattr__(declared, attribute, value)
        return declared

    def resolve_url(self) -> URL:
        """The declared URL, or the one in the environment; ``ConfigurationError`` where there is neither."""
        if self.url is not None:
            return self.url
        for variable in self.environment_variables:
            if value := os.environ.get(variable):
                return parse(self.name, value, f" in {variable}")
        raise ConfigurationError(
            f"Database {self.name!r} has no URL. Give one to Database({self.name!r}, url), or set "
            f"{' or '.join(self.environment_variables)}."
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
