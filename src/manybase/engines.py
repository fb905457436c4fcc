"""Databases: the declared databases of a program; makes their engines when first needed, and disposes them."""

from __future__ import annotations

import asyncio as aio
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from threading import RLock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, Table
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase.connecting import (
    capacity,
    dialect_of,
    is_sqlite_file,
    make_async_engine,
    make_engine,
    unpooled,
)
from manybase.database import Database
from manybase.errors import ConfigurationError, UnknownDatabase
from manybase.federation.limits import Federation
from manybase.forking import leave_to_parent, reset_after_fork
from manybase.learned import Learned
from manybase.ownership import Ownership
from manybase.replicas import ReplicaSets
from manybase.replication import read_only
from manybase.routing import Router
from manybase.schema import create_tables
from manybase.slots import Slots, Ticket
from manybase.unfinished import Unfinished

Bind = Engine | Connection
APP = re.compile(r"[\w-]{1,16}", re.ASCII)


class Takeover(Protocol):
    """Someone who stands between the engines and their users for a while, as ``manybase.testing.rollback`` does."""

    def take(self, name: str, engine: Engine) -> None:
        """Here is an engine: called once for each, before anyone else gets it."""

    async def leave_loop(self) -> None:
        """The engines of the running event loop are about to be disposed."""


class Databases:
    """The databases of a program, declared once. Nothing connects and no engine exists until one is needed.

    ``engine_options`` go to every engine made here, below those of the single ``Database``. ``pool_timeout`` bounds,
    in seconds, how long anything waits for a free connection; ``commit_timeout`` how long each step of an atomic
    commit may take. ``app`` stands in the names of prepared transactions: up to 16 letters, digits, ``_`` or ``-``.
    ``migrations`` is the directory that holds those of each database, as Alembic takes one: a path, relative to the
    working directory, or "package:folder".
    ``federation`` bounds what a select over several databases may take.
    Async engines belong to the event loop that first uses them. Raises ``ConfigurationError`` for a declaration that
    cannot work.
    """

    def __init__(
        self,
        *databases: Database,
        engine_options: Mapping[str, Any] | None = None,
        pool_timeout: float = 10.0,
        commit_timeout: float = 30.0,
        app: str = "app",
        migrations: str | os.PathLike[str] = "migrations",
        federation: Federation | None = None,
    ) -> None:
        check(databases)
        check_app(app)
        self.app = app
        self.migrations = os.fspath(migrations)
        self.commit_timeout = commit_timeout
        self.learned = Learned()
        self.unfinished = Unfinished()
        self._declared = {database.name: database for database in databases}
        self._known = {**self._declared, **{each.name: each for each in declared_replicas(databases)}}
        self.replicas = ReplicaSets(databases)
        self._engine_options = dict(engine_options or {})
        self.pool_timeout = pool_timeout
        self.federation = federation or Federation()
        self.federated: dict[frozenset[str], Engine] = {}  # what selects over several databases run on
        self.ownership = Ownership(databases)
        self.router = Router(self.ownership, self._dialects)
        self._lock = RLock()
        self._engines: dict[str, Engine] = {}
        self._async_engines: WeakKeyDictionary[aio.AbstractEventLoop, dict[str, AsyncEngine]] = WeakKeyDictionary()
        self._loopless: dict[str, AsyncEngine] = {}  # made outside a loop: the first loop that asks gets them
        self._aside: dict[str, Engine] = {}
        self._async_aside: WeakKeyDictionary[aio.AbstractEventLoop, dict[str, Engine]] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()
        self._slots: Slots | None = None
        self._async_slots: WeakKeyDictionary[aio.AbstractEventLoop, Slots] = WeakKeyDictionary()
        self._prepared_slots = Slots({})
        self._async_prepared_slots: WeakKeyDictionary[aio.AbstractEventLoop, Slots] = WeakKeyDictionary()
        self._takeover: Takeover | None = None
        self._dispose_afterwards = False
        reset_after_fork(self)

    def __repr__(self) -> str:
        return f"Databases({', '.join(map(repr, self))})"

    def __iter__(self) -> Iterator[Database]:
        """The declarations, in the order in which they were declared."""
        return iter(self._declared.values())

    def __len__(self) -> int:
        return len(self._declared)

    def __getitem__(self, name: str) -> Database:
        try:
            return self._declared[name]
        except KeyError:
            raise UnknownDatabase(name, self._declared) from None

    def __contains__(self, name: object) -> bool:
        return name in self._declared

    def declaration(self, name: str) -> Database:
        """Of a database, or of a replica, which is called "shop/1"."""
        try:
            return self._known[name]
        except KeyError:
            raise UnknownDatabase(name, self._declared) from None

    @contextmanager
    def knowing(self, declared: Database) -> Iterator[None]:
        """Inside, ``declaration`` and ``aside`` know one more. For tests."""
        self._known[declared.name] = declared
        try:
            yield
        finally:
            del self._known[declared.name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._declared)

    @property
    def default(self) -> str | None:
        """The default database: the declared one, or the only one there is."""
        return self.ownership.default

    def load(self) -> None:
        """Import the modules of all ``models=`` and check who owns which table; done once, at the first session."""
        self.ownership.load()

    def tables(self, name: str) -> tuple[Table, ...]:
        """The tables of a database; ``ConfigurationError`` where it declares no models at all."""
        self[name]
        return self.ownership.tables(name)

    def engine(self, name: str | None = None) -> Engine:
        """The sync engine of a database (default: of the default one), made on first use."""
        name = self._name(name)
        try:
            return self._engines[name]
        except KeyError:
            with self._lock:
                if name not in self._engines:
                    declared = self.declaration(name)
                    engine = make_engine(declared, self.options_of(name), pool_timeout=self.pool_timeout)
                    self._keep(name, engine)
                    self._engines[name] = engine
                return self._engines[name]

    def async_engine(self, name: str | None = None) -> AsyncEngine:
        """The async engine of a database for the running event loop, made on first use."""
        name = self._name(name)
        engines = self._engines_of_loop()
        try:
            return engines[name]
        except KeyError:
            with self._lock:
                if name not in engines:
                    declared = self.declaration(name)
                    engine = make_async_engine(declared, self.options_of(name), pool_timeout=self.pool_timeout)
                    self._keep(name, engine.sync_engine)
                    engines[name] = engine
                return engines[name]

    def bind(self, name: str, *, asyncio: bool = False) -> Bind:
        """What a session connects to."""
        return self.async_engine(name).sync_engine if asyncio else self.engine(name)

    def aside(self, name: str, *, asyncio: bool = False) -> Engine:
        """An engine for work beside that of the sessions: it keeps no connection, and each statement commits itself."""
        engines = self._async_aside.setdefault(loop_of_greenlet(), {}) if asyncio else self._aside
        if name not in engines:
            options = {**unpooled(self.options_of(name)), "isolation_level": "AUTOCOMMIT"}
            declared = self.declaration(name)
            made = make_async_engine(declared, options).sync_engine if asyncio else make_engine(declared, options)
            own = declared.engine is not None
            engines[name] = made.execution_options(isolation_level="AUTOCOMMIT") if own else made
        return engines[name]

    def slots(self, *, asyncio: bool = False) -> Slots:
        """Who may take connections: one counter for the process, and one for each event loop."""
        if not asyncio and self._slots is not None:
            return self._slots
        if not asyncio:
            with self._lock:
                self._slots = self._slots or Slots(self._capacity)
                return self._slots
        loop = running_loop()
        assert loop is not None
        if loop not in self._async_slots:
            self._async_slots[loop] = Slots(self._capacity)
        return self._async_slots[loop]

    def prepared_slots(self, *, asyncio: bool = False) -> Slots:
        """Who may keep a transaction prepared, per server: one counter for the process, and one per event loop."""
        if not asyncio:
            return self._prepared_slots
        return self._async_prepared_slots.setdefault(loop_of_greenlet(), Slots({}))

    def ticket(self, needs: Mapping[str, int] | None = None, *, asyncio: bool = False) -> Ticket:
        """The right to take connections, one from each pool unless ``needs`` says otherwise."""
        return Ticket(self.slots(asyncio=asyncio), needs or self._one_of_each, self.pool_timeout)

    def options_of(self, name: str) -> dict[str, Any]:
        """What ``create_engine`` gets for a database: the common options, and its own over them."""
        return {**self._engine_options, **self.declaration(name).engine_options}

    def name_of(self, engine: Engine) -> str | None:
        """The database an engine belongs to."""
        return self._names.get(engine)

    def remember(self, name: str, engine: Engine) -> None:
        """Another engine that ``name_of`` knows as that database's."""
        self._names[engine] = name

    @cached_property
    def files(self) -> frozenset[str]:
        """The databases that are SQLite files one can attach to another; empty where there are not two of them."""
        names = frozenset(name for name in self.names if is_sqlite_file(self[name], self.options_of(name)))
        return names if len(names) > 1 else frozenset()

    @contextmanager
    def beside(self, name: str, *, asyncio: bool = False) -> Iterator[Connection]:
        """A connection of that engine, closed afterwards."""
        engine = self.aside(name, asyncio=asyncio)
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError):
            raise
        except Exception as error:  # asyncpg's own, where its server dies right then
            raise OperationalError("connect", None, error, hide_parameters=True) from error
        with connection:
            yield connection

    @property
    def is_taken_over(self) -> bool:
        """Whether tests stand between the engines and their users."""
        return self._takeover is not None

    def create_all(self, *names: str) -> None:
        """Create the missing tables of the named databases, or of all that declare models. For small programs and
        tutorials: migrations are what changes a database that holds data."""
        for name in self._with_models(names):
            with self.engine(name).begin() as connection:
                create_tables(connection, self.tables(name))

    async def acreate_all(self, *names: str) -> None:
        """As ``create_all``, through the async engines."""
        for name in self._with_models(names):
            async with self.async_engine(name).begin() as connection:
                await connection.run_sync(create_tables, self.tables(name))

    def dispose(self) -> None:
        """Close the idle connections of the sync engines made here; an ``engine=`` of yours stays yours."""
        if self._takeover is not None:  # whose connections come from them, and outlive an application's shutdown
            self._dispose_afterwards = True
            return
        with self._lock:
            engines, self._engines = self._engines, {}
            self._slots = None
        for name, engine in engines.items():
            if self.declaration(name).engine is None:
                engine.dispose()

    async def adispose(self) -> None:
        """As ``dispose``, for the async engines of the running event loop."""
        if self._takeover is not None:
            await self._takeover.leave_loop()
        engines = self._engines_of_loop()
        made = dict(engines)
        engines.clear()
        for name, engine in made.items():
            if self.declaration(name).engine is None:
                await engine.dispose()

    def begin_takeover(self, takeover: Takeover) -> None:
        """Show every engine to ``takeover``, from now on also each new one; ``end_takeover`` ends it. For tests."""
        with self._lock:
            if self._takeover is not None:
                raise ConfigurationError(
                    "These databases are inside a rollback() already, perhaps that of @pytest.mark.rollback. One is "
                    "enough: all it does is undone when it ends. Undo less with session.begin_nested()."
                )
            self.slots()  # counts what the pools hold, before those of an ``engine=`` change
            self._takeover = takeover
            for name, engine in self._made():
                if "/" not in name:  # replicas: while it lasts, the sessions that read there share this connection
                    takeover.take(name, engine)

    def end_takeover(self) -> None:
        """Everything is as before; a ``dispose`` that came meanwhile happens now."""
        self._takeover = None
        if self._dispose_afterwards:
            self._dispose_afterwards = False
            self.dispose()

    def _made(self) -> list[tuple[str, Engine]]:
        asyncs = [self._loopless, *self._async_engines.values()]
        return [
            *self._engines.items(),
            *((name, engine.sync_engine) for engines in asyncs for name, engine in engines.items()),
        ]

    def _keep(self, name: str, engine: Engine) -> None:
        self._names[engine] = name.partition("/")[0]
        if "/" in name:
            read_only(engine, theirs=self.declaration(name).engine is not None)
        if self._takeover is not None and "/" not in name:
            self._takeover.take(name, engine)

    def _name(self, name: str | None) -> str:
        if name is not None:
            return name
        if self.default is None:
            raise ConfigurationError(
                f"There is no default database. Name one of {', '.join(self.names)}, or declare one with default=True."
            )
        return self.default

    def _engines_of_loop(self) -> dict[str, AsyncEngine]:
        loop = running_loop()
        if loop is None:
            return self._loopless
        try:
            return self._async_engines[loop]
        except KeyError:
            with self._lock:
                made, self._loopless = self._loopless, {}
                return self._async_engines.setdefault(loop, made)

    @cached_property
    def _one_of_each(self) -> dict[str, int]:
        return dict.fromkeys(self._declared, 1)

    @cached_property
    def _capacity(self) -> dict[str, int]:
        """Of a database with replicas the smallest pool counts: a session may need any one of them."""
        sizes: dict[str, int] = {}
        for name, declared in self._known.items():
            size = capacity(declared, self.options_of(name))
            if size is not None:
                database = name.partition("/")[0]
                sizes[database] = min(size, sizes.get(database, size))
        return sizes

    def _with_models(self, names: tuple[str, ...]) -> list[str]:
        self.load()
        return [self[name].name for name in names] or [n for n in self.names if self.ownership.declares_models(n)]

    def _dialects(self) -> Iterator[Dialect]:
        yield from (dialect for each in self if (dialect := dialect_of(each)) is not None)

    def forget_connections(self) -> None:
        """In a forked child: give every engine made here an empty pool; the parent keeps its connections."""
        self._lock = RLock()
        self._slots = None
        self._prepared_slots = Slots({})
        self.unfinished = Unfinished()
        self.replicas.forget_connections()
        made = [engine for name, engine in self._engines.items() if self.declaration(name).engine is None]
        leave_to_parent(*(engine.pool for engine in made), *self._async_engines.items(), self._loopless)
        for engine in made:
            engine.dispose(close=False)
        self._async_engines = WeakKeyDictionary()  # their loops stayed with the parent
        self._loopless = {}


def check(databases: tuple[Database, ...]) -> None:
    if not databases:
        raise ConfigurationError("Databases() is empty. Declare at least one: Databases(Database('main', url)).")
    if wrong := [type(each).__name__ for each in databases if not isinstance(each, Database)]:
        raise ConfigurationError(
            f"Databases(...) takes Database objects, one after the other, not {wrong[0]}: "
            "Databases(Database('main', url), ...)."
        )
    names = [database.name for database in databases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Declared twice: {', '.join(twice)}. Each database needs a name of its own.")
    if len(defaults := [database.name for database in databases if database.default]) > 1:
        raise ConfigurationError(f"Several defaults: {', '.join(defaults)}. Keep default=True on one of them.")


def declared_replicas(databases: tuple[Database, ...]) -> Iterator[Database]:
    for database in databases:
        yield from (database.of_replica(number) for number in range(1, len(database.replicas) + 1))


def check_app(app: str) -> None:
    if not isinstance(app, str) or not APP.fullmatch(app):
        raise ConfigurationError(
            "app= of Databases(...) is a short name for the application: up to 16 letters, digits, '_' or '-'. It "
            "stands in the names of prepared transactions."
        )


def loop_of_greenlet() -> aio.AbstractEventLoop:
    loop = running_loop()
    assert loop is not None
    return loop


def running_loop() -> aio.AbstractEventLoop | None:
    try:
        return aio.get_running_loop()
    except RuntimeError:
        return None
