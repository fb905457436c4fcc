"""Connecting: from a declaration to an engine, with the few things its driver needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, Pool, QueuePool

from manybase.database import Database
from manybase.drivers import missing_driver, with_driver
from manybase.errors import ConfigurationError

POOL_OPTIONS = ("pool", "max_overflow")

Options = Mapping[str, Any]
# What makes a SQLite connection unlike others, so that a file opened by another one would not be the same.
ON_ITS_OWN = frozenset({"creator", "async_creator", "async_creator_fn", "module", "pool", "factory", "database"})
ON_ITS_OWN |= {"uri", "mode", "vfs", "detect_types", "native_datetime", "isolation_level", "execution_options"}
Made = TypeVar("Made", Engine, AsyncEngine)
Connect = Callable[[Dialect, Any, list[Any], dict[str, Any]], Any]
Wrap = Callable[[Connect], Connect]


def make_engine(
    database: Database, options: Options, *, pool_timeout: float | None = None, wrap: Wrap | None = None
) -> Engine:
    """A sync engine that has not connected yet; ``ConfigurationError`` where the declaration allows none.

    ``wrap`` gets what connects, and returns what is to connect.
    """
    if isinstance(database.engine, AsyncEngine):
        raise ConfigurationError(
            f"Database {database.name!r} was declared with an AsyncEngine, which cannot serve a Session. Use an "
            "AsyncSession, or declare it with a URL that names the backend alone."
        )
    if database.engine is not None:
        return database.engine
    engine = made(database, options, create_engine, asyncio=False, pool_timeout=pool_timeout)
    listen(engine)
    connect_with(engine, wrap)
    return engine


def make_async_engine(
    database: Database, options: Options, *, pool_timeout: float | None = None, wrap: Wrap | None = None
) -> AsyncEngine:
    """An async engine that has not connected yet, as ``make_engine``."""
    if isinstance(database.engine, Engine):
        raise ConfigurationError(
            f"Database {database.name!r} was declared with a sync Engine, which cannot serve an AsyncSession. Use a "
            "Session, or declare it with a URL that names the backend alone."
        )
    if database.engine is not None:
        return database.engine
    engine = made(database, options, create_async_engine, asyncio=True, pool_timeout=pool_timeout)
    listen(engine.sync_engine)
    connect_with(engine.sync_engine, wrap)
    return engine


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection of an engine, closed afterwards; whatever stands in its way is an error of SQLAlchemy's."""
    try:
        connection = engine.connect()
    except (SQLAlchemyError, OSError):
        raise
    except Exception as error:  # asyncpg's own, where its server dies right then
        raise OperationalError("connect", None, error, hide_parameters=True) from error
    with connection:
        yield connection


def unpooled(options: Options) -> dict[str, Any]:
    """The options of an engine that keeps no connection: a pool that is full must not stand in its way."""
    alone = {
        name: value for name, value in options.items() if name == "pool_events" or not name.startswith(POOL_OPTIONS)
    }
    return {**alone, "poolclass": NullPool}


def made(
    database: Database, options: Options, create: Callable[..., Made], *, asyncio: bool, pool_timeout: float | None
) -> Made:
    name, url = database.name, database.resolve_url()
    try:
        url = with_driver(name, url, asyncio=asyncio)
        if pool_timeout is not None and has_queue(url, options, asyncio=asyncio):
            options = {"pool_timeout": pool_timeout, **options}
        return create(url, **options)
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        raise missing_driver(name, url, error.name) from None
    except ValueError:  # its text repeats the value, which may be a part of the URL
        why = "An option, or a part of the URL after '?', has a value that cannot be read."
    except (TypeError, ArgumentError, NoSuchModuleError) as error:
        why = str(error)
    raise ConfigurationError(f"Database {name!r}: its engine cannot be made with these options. {why}")


def has_queue(url: URL, options: Options, *, asyncio: bool) -> bool:
    """Whether the pool of such an engine makes one wait, so that it takes a ``pool_timeout``."""
    if options.get("pool") is not None:
        return False
    poolclass = options.get("poolclass")
    if poolclass is None:
        dialect: Any = url.get_dialect()
        poolclass = (dialect.get_async_dialect_cls(url) if asyncio else dialect).get_pool_class(url)
    return issubclass(poolclass, QueuePool)


def dialect_of(database: Database) -> Dialect | None:
    """The dialect a declaration speaks, as far as that is known without an engine or a driver."""
    if database.engine is not None:
        return database.engine.dialect
    try:
        return database.resolve_url().get_dialect()()
    except (ConfigurationError, ImportError):
        return None


def is_sqlite_file(database: Database, options: Options) -> bool:
    """Whether a declaration is a SQLite file like any other: what another connection finds at its path is the same."""
    if database.engine is not None:
        return False
    try:
        url = database.resolve_url()
    except ConfigurationError:
        return False
    path = url.database or ":memory:"
    return (
        url.drivername in ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite")
        and not path.startswith((":memory:", "file:"))
        and ON_ITS_OWN.isdisjoint({*url.query, *options, *options.get("connect_args", ())})
        and issubclass(options.get("poolclass") or QueuePool, (QueuePool, NullPool))
    )


def capacity(database: Database, options: Options) -> int | None:
    """How many connections the pool of a database gives out at once; None where nothing bounds it."""
    pool: Pool | None = options.get("pool") if database.engine is None else database.engine.pool
    if pool is not None:
        return pool.size() or None if isinstance(pool, QueuePool) else None
    if not issubclass(options.get("poolclass") or QueuePool, QueuePool):
        return None
    size, overflow = options.get("pool_size", 5), options.get("max_overflow", 10)
    return None if size == 0 or overflow == -1 else size + overflow


def listen(engine: Engine) -> None:
    """Have an engine do what its driver needs."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "savepoint", begin_before_savepoint)
    if engine.dialect.driver == "asyncpg":
        event.listen(engine, "handle_error", recognize_asyncpg)


def connect_with(engine: Engine, wrap: Wrap | None) -> None:
    """Say how an engine connects: one listener, for SQLAlchemy asks no other one once a connection is there."""
    special = engine.dialect.driver == "asyncpg"
    connect: Connect = connect_asyncpg if special else connect_as_usual
    if wrap is not None:
        event.listen(engine, "do_connect", wrap(connect))
    elif special:
        event.listen(engine, "do_connect", connect)


def connect_as_usual(dialect: Dialect, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    return dialect.connect(*arguments, **options)


def begin_before_savepoint(connection: Connection, name: str | None) -> None:
    """Python's sqlite3 opens no transaction for SAVEPOINT, so that RELEASE of the first one would commit for good.

    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """
    driver_connection: Any = connection.connection.driver_connection
    if not driver_connection.in_transaction:
        connection.exec_driver_sql("BEGIN")


def connect_asyncpg(dialect: Dialect, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """asyncpg lets a refused connection pass as a bare OSError; other drivers raise OperationalError, so do we."""
    try:
        return dialect.connect(*arguments, **options)
    except dialect.loaded_dbapi.Error:
        raise
    except Exception as error:
        raise OperationalError("connect", None, error, hide_parameters=True) from error


def recognize_asyncpg(context: ExceptionContext) -> OperationalError | None:
    """SQLAlchemy 2.0 does not know InternalClientError, which asyncpg may raise on a connection that it just lost."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None or type(error).__name__ != "InternalClientError":
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, error, hide_parameters=True, connection_invalidated=True)
