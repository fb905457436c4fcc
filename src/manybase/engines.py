"""Databases: the declared databases of a program; makes their engines when first needed, and disposes them."""

from __future__ import annotations

import asyncio as aio
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, QueuePool, Table
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from manybase.bounds import Bounds, check_limits
from manybase.budget import Budget
from manybase.connecting import (
    capacity,
    connected,
    dialect_of,
    is_sqlite_file,
    listen,
    make_async_engine,
    make_engine,
    unpooled,
)
from manybase.database import Database
from manybase.drivers import with_driver
from manybase.errors import (
    AmbiguousRoute,
    ConfigurationError,
    DirectoryUnavailable,
    UnknownDatabase,
    UnknownTenant,
)
from manybase.evictions import Evictions, place_of
from manybase.federation.limits import Federation
from manybase.forking import leave_to_parent, reset_after_fork
from manybase.learned import Learned
from manybase.ownership import Ownership
from manybase.replicas import ReplicaSets
from manybase.replication import read_only
from manybase.replication.tracking import track
from manybase.routing import Router
from manybase.schema import create_tables
from manybase.shelves import Shelves, running_loop
from manybase.slots import BothTickets, Slots, Ticket
from manybase.tenant_engines import Template, TenantEngine
from manybase.tenants import AT, Placement, Tenants, has_own_url
from manybase.unfinished import Unfinished
from manybase.usage import Usage

Bind = Engine | Connection
ASIDE = 1_000  # engines for work beside the sessions that are kept, where each tenant needs its own
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
    ``max_connections`` is how many connections all engines made here have open together, at most; what waits for one
    longer than ``pool_timeout`` raises ``Overloaded``. ``max_tenant_engines`` is how many of the engines that tenants
    need are kept at a time: those that nobody uses are closed, the least recently used one first, and after
    ``tenant_engine_idle`` seconds.
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
        max_connections: int | None = None,
        max_tenant_engines: int = 50,
        tenant_engine_idle: float = 300.0,
    ) -> None:
        check(databases)
        check_app(app)
        check_limits(databases, max_connections, max_tenant_engines)
        self.app = app
        self.migrations = os.fspath(migrations)
        self.commit_timeout = commit_timeout
        self.learned = Learned()
        self.unfinished = Unfinished()
        self._declared = {database.name: database for database in databases}
        self._known = {**self._declared, **{each.name: each for each in declared_replicas(databases)}}
        self.replicas = ReplicaSets(databases)
        self.tenants = Tenants(databases)
        self.max_connections = max_connections
        self.max_tenant_engines = max_tenant_engines
        self.tenant_engine_idle = tenant_engine_idle
        self._engine_options = dict(engine_options or {})
        self.pool_timeout = pool_timeout
        self.federation = federation or Federation()
        self.federated: dict[frozenset[str], Engine] = {}  # what selects over several databases run on
        self.ownership = Ownership(databases)
        self.router = Router(self.ownership, self._dialects)
        self._shelves = Shelves()
        self._aside: dict[str, Engine] = {}
        self._async_aside: WeakKeyDictionary[aio.AbstractEventLoop, dict[str, Engine]] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()
        self._slots: Slots | None = None
        self._async_slots: WeakKeyDictionary[aio.AbstractEventLoop, Slots] = WeakKeyDictionary()
        self._bounds = Bounds(
            max_connections,
            max_tenant_engines,
            tenants=bool(self.tenants),
            sizes=dict(self._sizes_for_tenants()),
            timeout=pool_timeout,
            free=lambda: self._evictions.free_connection(),
        )
        self._evictions = Evictions(self._shelves, self.budget, max_tenant_engines, tenant_engine_idle)
        self._templates: dict[tuple[str, bool], Template] = {}
        self._prepared_slots = Slots({})
        self._async_prepared_slots: WeakKeyDictionary[aio.AbstractEventLoop, Slots] = WeakKeyDictionary()
        self._takeover: Takeover | None = None
        self._dispose_afterwards = False
        # What every session asks, and what never changes.
        self.has_several = len(databases) > 1
        self.has_tenants = bool(self.tenants)
        self.is_bounded = self._bounds.budget is not None
        reset_after_fork(self)

    def __repr__(self) -> str:
        return f"Databases({', '.join(map(repr, self))})"

    def __iter__(self) -> Iterator[Database]:
        """The declarations, in the order in which they were declared."""
        return iter(self._declared.values())

    def __len__(self) -> int:
        return len(self._declared)

    def __getitem__(self, name: str) -> Database:
        """The declaration of a database; that of a tenant's part of it is called "crm@acme"."""
        try:
            return self._declared[name]
        except KeyError:
            part = self.tenants.declaration(name) if isinstance(name, str) else None
            if part is None:
                raise UnknownDatabase(name, self._declared) from None
            return part

    def __contains__(self, name: object) -> bool:
        return name in self._declared or (isinstance(name, str) and self.tenants.declaration(name) is not None)

    def declaration(self, name: str) -> Database:
        """Of a database, of a replica, which is called "shop/1", or of a tenant's part, which is called "crm@acme"."""
        known = self._known.get(name)
        return self[name] if known is None else known

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

    def engine(self, name: str | None = None, *, tenant: str | None = None) -> Engine:
        """The sync engine of a database, or of a ``tenant`` of it (default: the default one), made on first use."""
        if name is None or tenant is not None or name not in self._shelves.sync:
            name = self._engine_name(name, tenant, asyncio=False)
        engine = self._shelves.sync.get(name)
        if isinstance(engine, TenantEngine):
            self._evictions.touch(engine)
        return self._make(name) if engine is None else engine

    def async_engine(self, name: str | None = None, *, tenant: str | None = None) -> AsyncEngine:
        """The async engine of a database, or of a ``tenant`` of it, for the running event loop, made on first use."""
        name = self._engine_name(name, tenant, asyncio=True)
        engine = self._shelves.of_loop().get(name)
        if engine is not None and isinstance(engine.sync_engine, TenantEngine):
            self._evictions.touch(engine.sync_engine)
        return self._make_async(name) if engine is None else engine

    def bind(self, name: str, *, asyncio: bool = False) -> Bind:
        """What a session connects to."""
        return self.async_engine(name).sync_engine if asyncio else self.engine(name)

    def _engine_name(self, name: str | None, tenant: str | None, *, asyncio: bool) -> str:
        name = self._name(name)
        if tenant is not None:
            self.tenants.check(tenant, name)
            return self.tenants.place(name, tenant, self, asyncio=asyncio).name
        if name in self.tenants and needs_tenant(self[name]):
            raise no_tenant(name)
        return name

    def _make(self, name: str) -> Engine:
        with self._shelves.lock:
            engine = self._shelves.sync.get(name)
            if engine is None:
                if AT in name:
                    engine = self._made_for_tenant(name, asyncio=False)
                else:
                    engine = self._made_sync(self.declaration(name), self.options_of(name))
                self._keep(name, engine)
                self._shelves.sync[name] = engine
            return engine

    def _make_async(self, name: str) -> AsyncEngine:
        with self._shelves.lock:
            engines = self._shelves.of_loop()
            engine = engines.get(name)
            if engine is None:
                if AT in name:
                    engine = AsyncEngine(self._made_for_tenant(name, asyncio=True))
                else:
                    engine = self._made_async(self.declaration(name), self.options_of(name))
                self._keep(name, engine.sync_engine)
                engines[name] = engine
            return engine

    def _made_for_tenant(self, name: str, *, asyncio: bool) -> TenantEngine:
        self._evictions.make_room()
        url = with_driver(name, self.declaration(name).resolve_url(), asyncio=asyncio)
        engine = TenantEngine(self._template(name, asyncio=asyncio), url)
        listen(engine)
        return engine

    def _template(self, name: str, *, asyncio: bool) -> Template:
        """What the engines of the tenants of one server are like."""
        database, _, part = name.partition(AT)
        declared = self._declared[database]
        shard = part.partition(".")[0] if declared.shards else ""
        key = f"{database}{AT}{shard}", asyncio
        if key not in self._templates:
            url = declared.shards[shard] if shard else declared.resolve_url()
            like, options = declared.elsewhere(key[0], url), self.options_of(database)
            if asyncio:
                engine = self._made_async(like, options, tenants=True).sync_engine
            else:
                engine = self._made_sync(like, options, tenants=True)
            self._templates[key] = Template(engine, options.get("connect_args", {}))
        return self._templates[key]

    def _made_sync(self, declared: Database, options: Mapping[str, Any], *, tenants: bool = False) -> Engine:
        wrap = self._bounds.wrap(tenants=tenants)
        engine = make_engine(declared, options, pool_timeout=self.pool_timeout, wrap=wrap)
        if declared.engine is None:
            self._bounds.watch(engine)
        return engine

    def _made_async(self, declared: Database, options: Mapping[str, Any], *, tenants: bool = False) -> AsyncEngine:
        wrap = self._bounds.wrap(tenants=tenants)
        engine = make_async_engine(declared, options, pool_timeout=self.pool_timeout, wrap=wrap)
        if declared.engine is None:
            self._bounds.watch(engine.sync_engine)
        return engine

    @property
    def budget(self) -> Budget | None:
        """Who may have connections and tenant engines; None where nothing is bounded."""
        return self._bounds.budget

    @property
    def bounds(self) -> Bounds:
        """What this process may have open, for engines that are made elsewhere."""
        return self._bounds

    def usage(self) -> Usage:
        """How many engines and connections there are at the moment, and how many wait for one."""
        pools = [each.engine.pool for each in self._shelves]
        pooled = [(pool.checkedout(), pool.checkedin()) for pool in pools if isinstance(pool, QueuePool)]
        in_use = sum(used for used, _ in pooled)
        openings, budget = self._bounds.openings, self.budget
        return Usage(
            engines=self._evictions.engines(),
            max_engines=self.max_tenant_engines,
            connections=in_use + sum(idle for _, idle in pooled) if openings is None else openings.open,
            in_use=in_use,
            max_connections=self.max_connections,
            waiting=0 if budget is None else budget.waiting,
            evictions=self._evictions.count,
        )

    def close_idle_tenants(self) -> None:
        """Close the tenant engines that nobody has used for ``tenant_engine_idle`` seconds, wherever they are."""
        self._evictions.close_idle()

    def close_engine(self, name: str) -> None:
        """Close the engines of a part that is gone, also where somebody uses them."""
        self._aside.pop(name, None)
        self._evictions.drop(name)

    def aside(self, name: str, *, asyncio: bool = False) -> Engine:
        """An engine for work beside that of the sessions: it keeps no connection, and each statement commits itself."""
        engines = self._async_aside.setdefault(loop_of_greenlet(), {}) if asyncio else self._aside
        if name not in engines:
            if name in self.tenants and needs_tenant(self[name]):
                raise no_tenant(name)
            if len(engines) > ASIDE:
                del engines[next(iter(engines))]  # it keeps nothing open
            options = {**unpooled(self.options_of(name)), "isolation_level": "AUTOCOMMIT"}
            declared = self.declaration(name)
            made = self._made_async(declared, options).sync_engine if asyncio else self._made_sync(declared, options)
            own = declared.engine is not None
            engines[name] = made.execution_options(isolation_level="AUTOCOMMIT") if own else made
        return engines[name]

    def slots(self, *, asyncio: bool = False) -> Slots:
        """Who may take connections: one counter for the process, and one for each event loop."""
        if not asyncio and self._slots is not None:
            return self._slots
        if not asyncio:
            with self._shelves.lock:
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

    def ticket(
        self, needs: Mapping[str, int] | None = None, *, tenant: str | None = None, asyncio: bool = False
    ) -> Ticket | BothTickets:
        """The right to take connections, one from each pool unless ``needs`` says otherwise, and the engines for that
        of a ``tenant``. Raises ``UnknownTenant``."""
        needs = needs or self._one_of_each
        ticket = Ticket(self.slots(asyncio=asyncio), needs, self.pool_timeout)
        if not self.is_bounded:
            return ticket
        places = self._places_of(tenant, needs, asyncio=asyncio) if tenant is not None else ()
        return self._bounds.ticket(ticket, needs, places)

    def _places_of(self, tenant: str, needs: Mapping[str, int], *, asyncio: bool) -> Iterator[tuple[Any, int]]:
        loop = running_loop() if asyncio else None
        for name, count in needs.items():
            if name in self.tenants and needs_tenant(self[name]):
                with suppress(UnknownTenant, DirectoryUnavailable):  # said when the session touches that database
                    yield place_of(self.tenants.place(name, tenant, self, asyncio=asyncio).name, loop), count

    def lease(self, needs: Mapping[str, int], tenant: str, *, asyncio: bool = False) -> Ticket:
        """The engines for a tenant, for somebody who has the right to all the connections already."""
        return self._bounds.lease(self._places_of(tenant, needs, asyncio=asyncio))

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
        with connected(self.aside(name, asyncio=asyncio)) as connection:
            yield connection

    @property
    def is_taken_over(self) -> bool:
        """Whether tests stand between the engines and their users."""
        return self._takeover is not None

    def create_all(self, *names: str, tenant: str | None = None) -> None:
        """Create the missing tables of the named databases, or of all that declare models. For small programs and
        tutorials: migrations are what changes a database that holds data.

        Those of a ``tenant`` are created in its part of the databases with tenants, which without one are passed over.
        """
        for name in self._with_models(names, tenant):
            part = self._part(name, tenant, asyncio=False)
            with self.engine(part.name).begin() as connection:
                create_tables(connection, self.tables(name), part.schema)

    async def acreate_all(self, *names: str, tenant: str | None = None) -> None:
        """As ``create_all``, through the async engines."""
        for name in self._with_models(names, tenant):
            part = await greenlet_spawn(self._part, name, tenant, asyncio=True)
            async with self.async_engine(part.name).begin() as connection:
                await connection.run_sync(create_tables, self.tables(name), part.schema)

    def dispose(self) -> None:
        """Close the idle connections of the sync engines made here; an ``engine=`` of yours stays yours."""
        if self._takeover is not None:  # whose connections come from them, and outlive an application's shutdown
            self._dispose_afterwards = True
            return
        with self._shelves.lock:
            engines, self._shelves.sync = self._shelves.sync, {}
            self._slots = None
        for name, engine in engines.items():
            if self.declaration(name).engine is None:
                engine.dispose()

    async def adispose(self) -> None:
        """As ``dispose``, for the async engines of the running event loop."""
        if self._takeover is not None:
            await self._takeover.leave_loop()
        engines = self._shelves.of_loop()
        made = dict(engines)
        engines.clear()
        for name, engine in made.items():
            if self.declaration(name).engine is None:
                await engine.dispose()
        await self._evictions.finish()

    def begin_takeover(self, takeover: Takeover) -> None:
        """Show every engine to ``takeover``, from now on also each new one; ``end_takeover`` ends it. For tests."""
        with self._shelves.lock:
            if self._takeover is not None:
                raise ConfigurationError(
                    "These databases are inside a rollback() already, perhaps that of @pytest.mark.rollback. One is "
                    "enough: all it does is undone when it ends. Undo less with session.begin_nested()."
                )
            self.slots()  # counts what the pools hold, before those of an ``engine=`` change
            self._takeover = takeover
            self._evictions.suspended = True  # the connection of an engine is what a test has written
            for each in self._shelves:
                if "/" not in each.name:  # replicas: while it lasts, the sessions that read there share this connection
                    takeover.take(each.name, each.engine)

    def end_takeover(self) -> None:
        """Everything is as before; a ``dispose`` that came meanwhile happens now."""
        self._takeover = None
        self._evictions.suspended = False
        if self._dispose_afterwards:
            self._dispose_afterwards = False
            self.dispose()

    def _keep(self, name: str, engine: Engine) -> None:
        self._names[engine] = name.partition("/")[0]
        if "/" in name:
            read_only(engine, theirs=self.declaration(name).engine is not None)
        elif name in self.replicas:
            track(engine, theirs=self.declaration(name).engine is not None)
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

    @cached_property
    def _one_of_each(self) -> dict[str, int]:
        return dict.fromkeys(self._declared, 1)

    @cached_property
    def _capacity(self) -> dict[str, int]:
        """Of a database with replicas the smallest pool counts: a session may need any one of them."""
        sizes: dict[str, int] = {}
        for name, declared in self._known.items():
            if name in self.tenants and needs_tenant(declared):
                continue  # each of its tenants has a pool; the budget counts them
            size = capacity(declared, self.options_of(name))
            if size is not None:
                database = name.partition("/")[0]
                sizes[database] = min(size, sizes.get(database, size))
        return sizes

    def _sizes_for_tenants(self) -> Iterator[tuple[str, int]]:
        for name in self.tenants:
            size = capacity(self[name], self.options_of(name))
            if size is not None:
                yield name, size

    def _with_models(self, names: tuple[str, ...], tenant: str | None) -> list[str]:
        self.load()
        if tenant is None and (wrong := [name for name in names if name in self.tenants]):
            raise no_tenant(wrong[0])
        if names:
            return [self[name].name for name in names]
        return [
            n for n in self.names if self.ownership.declares_models(n) and (n in self.tenants) is (tenant is not None)
        ]

    def _part(self, name: str, tenant: str | None, *, asyncio: bool) -> Placement:
        """Where tables are created: for a tenant that no directory knows yet, too, unless it has to say which shard."""
        if tenant is None:
            return Placement(name, "", None, None, name)
        if name in self.tenants and self[name].shards:
            return self.tenants.place(name, tenant, self, asyncio=asyncio)
        return self.tenants.placed(name, tenant, None)

    def _dialects(self) -> Iterator[Dialect]:
        yield from (dialect for each in self if (dialect := dialect_of(each)) is not None)

    def forget_connections(self) -> None:
        """In a forked child: give every engine made here an empty pool; the parent keeps its connections."""
        self._slots = None
        self._bounds.forget()
        self._evictions.forget(self.budget)
        self._prepared_slots = Slots({})
        self.unfinished = Unfinished()
        self.replicas.forget_connections()
        made = [engine for name, engine in self._shelves.sync.items() if self.declaration(name).engine is None]
        leave_to_parent(*(engine.pool for engine in made))
        for engine in made:
            engine.dispose(close=False)
        self._shelves.forget_loops()


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


def needs_tenant(declared: Database) -> bool:
    """Whether there is no engine without a tenant: where all of them share one, each has a schema in it."""
    return declared.tenants is not None and (bool(declared.shards) or has_own_url(declared))


def no_tenant(name: str) -> AmbiguousRoute:
    return AmbiguousRoute(
        f"Database {name!r} has tenants, and nothing says which one is meant. Say it when the session is made: "
        "Session(databases, tenant=name).",
        [name],
    )


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
