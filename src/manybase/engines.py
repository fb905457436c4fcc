"""Databases: the declared databases of a program; makes their engines when first needed, and disposes them."""

from __future__ import annotations

import asyncio as aio
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from threading import RLock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, Table
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from manybase.budget import CONNECTIONS, RESERVED, Budget
from manybase.connecting import (
    Wrap,
    capacity,
    dialect_of,
    is_sqlite_file,
    listen,
    make_async_engine,
    make_engine,
    unpooled,
)
from manybase.database import Database
from manybase.drivers import with_driver
from manybase.errors import AmbiguousRoute, ConfigurationError, UnknownDatabase, UnknownTenant
from manybase.federation.limits import Federation
from manybase.forking import leave_to_parent, reset_after_fork
from manybase.learned import Learned
from manybase.openings import Openings, close_one_idle
from manybase.ownership import Ownership
from manybase.replicas import ReplicaSets
from manybase.replication import read_only
from manybase.replication.tracking import track
from manybase.routing import Router
from manybase.schema import create_tables
from manybase.slots import BothTickets, Slots, Ticket
from manybase.tenant_engines import Template, TenantEngine, leading_to_tenant
from manybase.tenants import AT, Placement, Tenants, has_own_url
from manybase.unfinished import Unfinished

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
        self.federated: dict[str, Engine] = {}  # what selects over several databases run on, by their semantics
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
        self.budget, self.openings = self._limits()
        self.evictions = 0  # tenant engines that were closed, so that others could be made, or for being idle
        self._templates: dict[tuple[str, bool], Template] = {}
        self._used: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()  # when a tenant engine was last asked for
        self._closing: set[aio.Task[None]] = set()
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
        name = self._engine_name(name, tenant, asyncio=False)
        try:
            engine = self._engines[name]
        except KeyError:
            return self._make(name)
        return self._make(name) if AT in name else engine

    def async_engine(self, name: str | None = None, *, tenant: str | None = None) -> AsyncEngine:
        """The async engine of a database, or of a ``tenant`` of it, for the running event loop, made on first use."""
        name = self._engine_name(name, tenant, asyncio=True)
        try:
            engine = self._engines_of_loop()[name]
        except KeyError:
            return self._make_async(name)
        return self._make_async(name) if AT in name else engine

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
        with self._lock:
            engine = self._engines.get(name)
            if engine is None:
                if AT in name:
                    self._close_unused(asyncio=False)
                    engine = TenantEngine(self._template(name, asyncio=False), self._url(name, asyncio=False))
                    listen(engine)
                else:
                    engine = self._made_sync(self.declaration(name), self.options_of(name))
                self._keep(name, engine)
                self._engines[name] = engine
            if AT in name:
                self._used[engine] = time.monotonic()
            return engine

    def _make_async(self, name: str) -> AsyncEngine:
        with self._lock:
            engines = self._engines_of_loop()
            engine = engines.get(name)
            if engine is None:
                if AT in name:
                    self._close_unused(asyncio=True)
                    made = TenantEngine(self._template(name, asyncio=True), self._url(name, asyncio=True))
                    listen(made)
                    engine = AsyncEngine(made)
                else:
                    engine = self._made_async(self.declaration(name), self.options_of(name))
                self._keep(name, engine.sync_engine)
                engines[name] = engine
            if AT in name:
                self._used[engine.sync_engine] = time.monotonic()
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

    def _url(self, name: str, *, asyncio: bool) -> URL:
        return with_driver(name, self.declaration(name).resolve_url(), asyncio=asyncio)

    def _made_sync(self, declared: Database, options: Mapping[str, Any], *, tenants: bool = False) -> Engine:
        wrap = self._wrap(tenants=tenants)
        engine = make_engine(declared, options, pool_timeout=self.pool_timeout, wrap=wrap)
        if self.openings is not None and declared.engine is None:
            self.openings.watch(engine)
        return engine

    def _made_async(self, declared: Database, options: Mapping[str, Any], *, tenants: bool = False) -> AsyncEngine:
        wrap = self._wrap(tenants=tenants)
        engine = make_async_engine(declared, options, pool_timeout=self.pool_timeout, wrap=wrap)
        if self.openings is not None and declared.engine is None:
            self.openings.watch(engine.sync_engine)
        return engine

    def _wrap(self, *, tenants: bool) -> Wrap | None:
        counting = self.openings.counting if self.openings is not None else None
        if not tenants:
            return counting
        return leading_to_tenant if counting is None else lambda connect: leading_to_tenant(counting(connect))

    def _limits(self) -> tuple[Budget | None, Openings | None]:
        if self.max_connections is None and not self.tenants:
            return None, None
        sizes = {name: capacity(self[name], self.options_of(name)) for name in self.tenants if needs_tenant(self[name])}
        bounded = {name: size for name, size in sizes.items() if size is not None}
        budget = Budget(self.max_connections, self.max_tenant_engines, bounded)
        if self.max_connections is None:
            return budget, None
        return budget, Openings(self.max_connections, self.pool_timeout, self._close_idle)

    def lease_of(self, name: str, *, asyncio: bool) -> tuple[str, int]:
        """What the budget calls the engine of a tenant's part of a database."""
        return name, id(running_loop()) if asyncio else 0

    def _close_unused(self, *, asyncio: bool) -> None:
        """Make room for one more tenant engine, and close those that have been idle for long."""
        unused = self._unused(asyncio=asyncio)
        due = time.monotonic() - self.tenant_engine_idle
        kept = sum(AT in name for name in (self._engines_of_loop() if asyncio else self._engines))
        for name, engine in unused:
            if kept < self.max_tenant_engines and self._used[engine] > due:
                return
            self._close(name, asyncio=asyncio)
            kept -= 1

    def close_idle_tenants(self, *, asyncio: bool = False) -> None:
        """Close the tenant engines that nobody has used for ``tenant_engine_idle`` seconds."""
        due = time.monotonic() - self.tenant_engine_idle
        with self._lock:
            for name, engine in self._unused(asyncio=asyncio):
                if self._used[engine] <= due:
                    self._close(name, asyncio=asyncio)

    def _unused(self, *, asyncio: bool) -> list[tuple[str, Engine]]:
        """The tenant engines that nobody uses, the least recently used one first."""
        engines: list[tuple[str, Engine]]
        if asyncio:
            engines = [(name, each.sync_engine) for name, each in self._engines_of_loop().items()]
        else:
            engines = [*self._engines.items()]
        budget = self.budget
        found = [
            (name, engine)
            for name, engine in engines
            if AT in name and (budget is None or not budget.is_leased(self.lease_of(name, asyncio=asyncio)))
        ]
        return sorted(found, key=lambda each: self._used[each[1]])

    def _close(self, name: str, *, asyncio: bool) -> None:
        if self._takeover is not None or (asyncio and running_loop() is None):
            return  # its connection is what a test has written; or nobody could await the end of it
        self.evictions += 1
        if not asyncio:
            self._engines.pop(name).dispose()
            return
        engine = self._engines_of_loop().pop(name)
        task = aio.get_running_loop().create_task(engine.dispose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close_engine(self, name: str) -> None:
        """Close the engines of a part that is gone; an async one of another event loop is left to that loop."""
        with self._lock:
            self._aside.pop(name, None)
            engine = self._engines.pop(name, None)
            if running_loop() is not None and name in self._engines_of_loop():
                self._close(name, asyncio=True)
        if engine is not None:
            engine.dispose()

    def _close_idle(self, asyncio: bool) -> bool:
        """Close connections that nobody uses, those of unused tenant engines first; whether there were any."""
        with self._lock:
            for name, engine in self._unused(asyncio=asyncio):
                pool = engine.pool
                if isinstance(pool, QueuePool) and pool.checkedin():
                    self._close(name, asyncio=asyncio)
                    return True
            engines = [*self._engines_of_loop().values()] if asyncio else [*self._engines.values()]
        every = [each.sync_engine if isinstance(each, AsyncEngine) else each for each in engines]
        return any(close_one_idle(engine) for engine in every) or (asyncio and self._close_idle(False))

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

    def ticket(
        self, needs: Mapping[str, int] | None = None, *, tenant: str | None = None, asyncio: bool = False
    ) -> Ticket | BothTickets:
        """The right to take connections, one from each pool unless ``needs`` says otherwise, and the engines for that
        of a ``tenant``. Raises ``UnknownTenant``."""
        needs = needs or self._one_of_each
        ticket = Ticket(self.slots(asyncio=asyncio), needs, self.pool_timeout)
        if self.budget is None or (self.max_connections is None and tenant is None):
            return ticket
        shares: dict[Any, int] = {CONNECTIONS: sum(needs.values())}
        if tenant is not None:
            shares |= self._leases(needs, tenant, asyncio=asyncio)
        return BothTickets(ticket, Ticket(self.budget, shares, self.pool_timeout))

    def lease(self, needs: Mapping[str, int], tenant: str, *, asyncio: bool = False) -> Ticket:
        """The engines for a tenant, for somebody who has a ticket for all the connections already."""
        assert self.budget is not None
        return Ticket(self.budget, self._leases(needs, tenant, asyncio=asyncio), self.pool_timeout)

    def _leases(self, needs: Mapping[str, int], tenant: str, *, asyncio: bool) -> dict[Any, int]:
        leases: dict[Any, int] = {}
        for name, count in needs.items():
            if name in self.tenants and needs_tenant(self[name]):
                with suppress(UnknownTenant):  # said when the session touches that database
                    place = self.tenants.place(name, tenant, self, asyncio=asyncio).name
                    leases[self.lease_of(place, asyncio=asyncio)] = count
        return leases

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
        loop = running_loop()
        if closing := [task for task in self._closing if task.get_loop() is loop]:
            await aio.wait(closing)
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
            if name in self.tenants and needs_tenant(declared):
                continue  # each of its tenants has a pool; the budget counts them
            size = capacity(declared, self.options_of(name))
            if size is not None:
                database = name.partition("/")[0]
                sizes[database] = min(size, sizes.get(database, size))
        return sizes

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
        self._lock = RLock()
        self._slots = None
        self.budget, self.openings = self._limits()
        self._closing = set()
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


def check_limits(databases: tuple[Database, ...], connections: int | None, engines: int) -> None:
    least = len(databases) + RESERVED
    if connections is not None and connections < least:
        raise ConfigurationError(
            f"max_connections={connections} is too few: a session may need one of each database, and {RESERVED} are "
            f"kept for health and recovery. Give at least {least}."
        )
    if engines < sum(each.tenants is not None for each in databases):
        raise ConfigurationError(
            f"max_tenant_engines={engines} is too few: a session may need one of each database with tenants."
        )


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


def running_loop() -> aio.AbstractEventLoop | None:
    try:
        return aio.get_running_loop()
    except RuntimeError:
        return None
