"""Environment: what Alembic runs the revisions of one database in, with an ``env.py`` of the user's or without."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from alembic import context
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from manybase.connecting import make_async_engine, make_engine, unpooled
from manybase.database import Database
from manybase.drivers import with_driver
from manybase.engines import Databases
from manybase.errors import ConfigurationError, MigrationFailed
from manybase.migrations.comparing import Comparison, leaving_out_ours
from manybase.migrations.histories import History
from manybase.migrations.internals import make_safe_for_threads
from manybase.migrations.server_locks import ask
from manybase.participants import is_in_memory
from manybase.parts import base_of, home_of, part_of

T = TypeVar("T")
WHERE = ("host", "port", "service", "options")  # what else a URL may say about where it leads
UNFINISHED = (
    "Its env.py ended without having run all revisions, and raised no error. It must not swallow what they raise."
)
Heads = tuple[str, ...]
Work = Callable[[Heads, MigrationContext], Iterable[Any]]


class Target:
    """One database to be migrated, with the history it is migrated by. ``engine`` keeps no connection."""

    def __init__(self, databases: Databases, history: History, name: str, engine: Engine, *, asyncio: bool) -> None:
        self.databases = databases
        self.history = history
        self.name = name
        self.engine = engine
        self.asyncio = asyncio
        self.part = part_of(databases, name)
        self.schema = self.part.schema if self.part is not None and engine.dialect.name == "postgresql" else None

    @property
    def scope(self) -> str:
        """What of its database is locked: a schema of a tenant's is migrated on its own."""
        return self.schema or ""

    def passes(self) -> list[Heads]:
        """What the database is at, once for each time that its ``env.py`` runs migrations in it: as a rule that is
        once, but it may keep a table of versions for each of several schemas. Changes nothing."""
        found: list[Heads] = []

        def look(heads: Heads, _: MigrationContext) -> Iterable[Any]:
            found.append(heads)
            return ()

        self.run(look, dont_mutate=True)
        if not found:
            raise MigrationFailed(self.name, UNFINISHED)
        return found

    def run(
        self,
        work: Work,
        *,
        connected: Callable[[Connection], None] | None = None,
        compare: bool = False,
        together: bool = False,
        output: TextIO | None = None,
        **options: Any,
    ) -> None:
        """Run the environment with ``work``, whose steps Alembic then takes, as it does with the commands of its own.

        ``connected`` is told the connection they are taken on. ``compare``: it is for autogenerate; ``together``: in
        all databases that share the history, where the ``env.py`` can. ``output`` takes the SQL where ``as_sql`` is one
        of the ``options``, which go to ``EnvironmentContext``.
        """
        make_safe_for_threads()
        names = [each for each in self.history.databases if each not in self.databases.tenants] if together else []
        names = names if self.name in names else [*names, self.name]
        urls = self._urls(names)
        config = self.history.configuration(
            urls, base_of(self.name), manybase=lambda: self._run_here(compare=compare, output=output, **options)
        )
        if output is not None:
            config.output_buffer = output
        scripts = self.history.scripts
        with Environment(config, scripts, fn=work, target=self, urls=urls, connected=connected, **options):
            if self.asyncio and self.history.has_environment:  # which may start an event loop of its own
                await_only(aio.to_thread(scripts.run_env))
            else:
                scripts.run_env()

    def _run_here(
        self, *, compare: bool, output: TextIO | None, as_sql: bool = False, dont_mutate: bool = False, **_: Any
    ) -> None:
        """In place of an env.py."""
        options: dict[str, Any] = {"transaction_per_migration": True, "render_as_batch": self.dialect == "sqlite"}
        if output is not None:
            options["output_buffer"] = output
        if self.dialect == "sqlite":  # which can undo CREATE TABLE, though Alembic does not count on it
            options["transactional_ddl"] = True
        if compare:
            options.update(Comparison(self.databases, self.name).options)
        if as_sql:
            paramstyle = {"paramstyle": "named"}
            context.configure(dialect_name=self.dialect, literal_binds=True, dialect_opts=paramstyle, **options)
            with context.begin_transaction():
                context.run_migrations()
            return
        with self.engine.connect() as connection:
            if self.dialect == "sqlite" and not dont_mutate:
                event.listen(connection, "begin", begin_at_once)
            context.configure(connection=connection, **options)
            with context.begin_transaction():
                context.run_migrations()

    @property
    def autocommit(self) -> Engine:
        """For what is asked beside the migrations: each statement commits by itself."""
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    def _urls(self, names: Iterable[str]) -> dict[str, URL]:
        if not self.history.has_environment:
            return {}
        where = {base_of(name): home_of(self.databases, name) for name in names}  # one part, so that is who it is
        return {name: url_for(each, asyncio=self.history.runs_async) for name, each in where.items()}


class Environment(EnvironmentContext):
    """Alembic's, which also looks at where an ``env.py`` connects to."""

    def __init__(
        self, config: Any, scripts: Any, *, target: Target, urls: dict[str, URL], connected: Any, **options: Any
    ) -> None:
        super().__init__(config, scripts, **options)
        self.target = target
        self.urls = urls
        self.connected = connected

    def configure(self, connection: Connection | None = None, **options: Any) -> None:  # type: ignore[override]
        if connection is not None and not self.is_offline_mode():
            check_same(self.target, self.urls, connection.engine.url)
            if self.target.schema is not None:
                confine(connection, self.target.schema)
            if self.connected is not None:
                self.connected(connection)
        options["include_name"] = leaving_out_ours(options.get("include_name"))
        super().configure(connection=connection, **options)


def confine(connection: Connection, schema: str) -> None:
    """Names without a schema are those of this one, in what Alembic and in what a revision writes, and of no other."""
    ask(connection, f"SET search_path TO {connection.dialect.identifier_preparer.quote_identifier(schema)}")


def check_same(target: Target, urls: dict[str, URL], url: URL) -> None:
    """An ``env.py`` that takes its URL from elsewhere would migrate one database again and again."""
    if place(url) not in {place(each) for each in (target.engine.url, *urls.values())}:
        raise MigrationFailed(
            target.name,
            f"Its env.py in {target.history.folder} connects to another database than the declared one. Let it read "
            'config.get_main_option("sqlalchemy.url"), which holds the URL of each database in turn.',
        )


def place(url: URL) -> tuple[Any, ...]:
    backend = url.get_backend_name().replace("mariadb", "mysql")
    return backend, url.host, url.port, url.database, *(url.query.get(each) for each in WHERE)


@contextmanager
def connecting(databases: Databases, name: str, *, asyncio: bool) -> Iterator[Engine]:
    """An engine for a while. One in memory is that of the sessions: there is no other way to it."""
    database, options = home_of(databases, name), unpooled(databases.options_of(name))
    own = database.engine
    if is_in_memory(databases, name):
        yield databases.async_engine(name).sync_engine if asyncio else databases.engine(name)
        return
    if own is not None:
        yield without_pool(own.sync_engine if isinstance(own, AsyncEngine) else own)
    elif asyncio:
        yield make_async_engine(database, options).sync_engine
    else:
        engine = make_engine(database, options, wrap=databases.bounds.wrap(tenants=False))
        databases.bounds.watch(engine)
        yield engine


def without_pool(engine: Engine) -> Engine:
    """One that connects as this one does, and keeps nothing: what is in its pool may belong to another event loop, and
    what goes back into it must not hold a lock."""

    def connect() -> Any:
        connection = engine.pool.recreate().connect()
        connection.detach()
        return connection.dbapi_connection

    return Engine(NullPool(connect), engine.dialect, engine.url, hide_parameters=True)


def in_database(databases: Databases, history: History, name: str, job: Callable[[Target], T]) -> T:
    """What ``job`` returns, in this thread: sync, or in an event loop of its own where the driver asks for one."""

    def run(*, asyncio: bool) -> T:
        with connecting(databases, name, asyncio=asyncio) as engine:
            return job(Target(databases, history, name, engine, asyncio=asyncio))

    if is_async_only(home_of(databases, name)):
        return aio.run(greenlet_spawn(run, asyncio=True))
    return run(asyncio=False)


def is_async_only(database: Database) -> bool:
    if database.engine is not None:
        return isinstance(database.engine, AsyncEngine)
    try:
        with_driver(database.name, database.resolve_url(), asyncio=False)
    except ConfigurationError:
        with_driver(database.name, database.resolve_url(), asyncio=True)
        return True
    return False


def url_for(database: Database, *, asyncio: bool) -> URL:
    """The URL for an ``env.py`` that makes such an engine: with the declared driver, or another one that serves."""
    url = database.resolve_url() if database.engine is None else database.engine.url
    try:
        return with_driver(database.name, url, asyncio=asyncio)
    except ConfigurationError:
        return with_driver(database.name, url.set(drivername=url.get_backend_name()), asyncio=asyncio)


def begin_at_once(connection: Connection) -> None:
    """Python's sqlite3 would open no transaction for DDL, and commit each statement by itself."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
