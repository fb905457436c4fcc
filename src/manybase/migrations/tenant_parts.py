"""The part of a tenant: made, looked at and dropped where it is, on each kind of server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from manybase.errors import MigrationFailed, listed
from manybase.gid import TABLE
from manybase.migrations import creating, moving
from manybase.migrations.environments import Target, confine
from manybase.migrations.failures import cause, naming
from manybase.parts import MYSQL, Part, base_of, home_of
from manybase.schema import create_tables
from manybase.servers import engine_for, server_of

CREATING = "manybase_creating"  # a table in what is only half made, where a server cannot undo half a revision
DROPPING = "manybase_dropping"  # a table in what is to be dropped, so that nobody of the same name ever gets it
VERSIONS = "alembic_version"
OURS = {VERSIONS, TABLE, CREATING, DROPPING}
BESIDE = ("", "-wal", "-shm", "-journal", ".migrating")  # the files of a SQLite database
PATIENCE = 30  # seconds that DROP waits for transactions of others
FORCE = 130000  # from this PostgreSQL on, DROP DATABASE can end the sessions of others

observers: list[Callable[[str, str], None]] = []


@dataclass(frozen=True)
class Loss:
    """What is lost with a part; ``shared``: nothing, for its tables are those of other tenants too."""

    part: str
    tables: int
    size: int
    shared: bool = False


def reached(step: str, where: str) -> None:
    for observer in observers:
        observer(step, where)


def make_part(target: Target, part: Part, *, known: bool, timeout: float) -> bool:
    """Make it and bring it to the head of its history; whether it was missing. ``known``: the tenant is in use."""
    databases = target.databases
    reached("creating", part.name)
    remove_leftovers(target)
    missing = creating.create_missing(databases, part.name, asyncio=target.asyncio)
    missing = creating.create_schema(target) or missing
    missing = end_drop(target, known=known) or missing
    reached("created", part.name)
    if not known and target.dialect in MYSQL:
        begin_anew(target)
    fresh = is_empty(target)
    if not fresh and not known:
        refuse_foreign(target)
    creating.keep_decisions(databases, target)
    if target.history.exists:
        moving.upgrade(databases, names=[part.name], lock_timeout=timeout, allow_data_loss=fresh)
    elif databases.ownership.declares_models(part.database):
        make_tables(target)
    if target.dialect in MYSQL:
        with naming(part.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {CREATING}")
    reached("migrated", part.name)
    return missing


def begin_anew(target: Target) -> None:
    """MySQL commits each statement of a revision, so what was killed there cannot go on: it is made again. What is
    being made says so, by a table, until it is done; nobody has used it, for its tenant is in no directory."""
    tables = tables_of(target)
    if CREATING in tables:
        drop_part(target)
        creating.create_missing(target.databases, target.name, asyncio=target.asyncio)
    if CREATING in tables or not tables:
        with naming(target.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {CREATING} (since timestamp NULL)")


def mark_dropping(target: Target) -> None:
    """Note that it is to be dropped, before its tenant leaves the directory."""
    if exists(target):
        with naming(target.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {in_schema(target, DROPPING)} (since timestamp NULL)"
            )


def end_drop(target: Target, *, known: bool) -> bool:
    """What a killed drop has left is dropped, and made anew: whether there was such. Not if its tenant is in use."""
    if DROPPING not in tables_of(target):
        return False
    if known:
        with naming(target.name), target.autocommit.connect() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {in_schema(target, DROPPING)}")
        return False
    drop_part(target)
    creating.create_missing(target.databases, target.name, asyncio=target.asyncio)
    creating.create_schema(target)
    return True


def in_schema(target: Target, table: str) -> str:
    quote = target.engine.dialect.identifier_preparer.quote_identifier
    return table if target.schema is None else f"{quote(target.schema)}.{table}"


def make_tables(target: Target) -> None:
    with naming(target.name), target.engine.begin() as connection:
        if target.schema is not None:
            confine(connection, target.schema)
            connection.execution_options(schema_translate_map={None: target.schema})
        create_tables(connection, target.databases.tables(base_of(target.name)))


def tables_of(target: Target) -> set[str]:
    with naming(target.name), target.autocommit.connect() as connection:
        return {*inspect(connection).get_table_names(schema=target.schema)}


def is_empty(target: Target) -> bool:
    return not tables_of(target) - OURS


def refuse_foreign(target: Target) -> None:
    """Raise ``MigrationFailed`` unless what is there is what the history makes, or the models."""
    tables = tables_of(target) - OURS
    if target.history.exists:
        with naming(target.name):
            heads = {head for heads in target.passes() for head in heads}
        strange = [head for head in heads if not target.history.has(head)]
        if strange:
            raise foreign(target, f"It is at {listed(sorted(strange))}, which its history does not have.")
        if heads or not tables:
            return
    else:
        tables -= models_of(target)
    if tables:
        raise foreign(target, f"It holds tables that nothing here has made: {listed(sorted(tables))}.")


def models_of(target: Target) -> set[str]:
    base = base_of(target.name)
    databases = target.databases
    return {each.name for each in databases.tables(base)} if databases.ownership.declares_models(base) else set()


def foreign(target: Target, why: str) -> MigrationFailed:
    return MigrationFailed(
        target.name,
        f"It is there already, and is somebody else's. {why} Nothing was changed. Give the tenant another name, or say "
        f"that it is his: manybase stamp REVISION -d {target.name}.",
    )


THERE = {
    "postgresql": text("SELECT count(*) FROM pg_database WHERE datname = :name"),
    "mysql": text("SELECT count(*) FROM information_schema.schemata WHERE schema_name = :name"),
}
SIZES = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "mysql": "SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables "
    "WHERE table_schema = database()",
}
OF_SCHEMA = text(
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = :name AND c.relkind IN ('r', 'm')"
)


def exists(target: Target) -> bool:
    if target.dialect == "sqlite":
        return any(each.exists() for each in files_of(target))
    with naming(target.name), beside(target).connect() as connection:
        if target.schema is not None:
            return bool(connection.scalar(creating.SCHEMAS, {"name": target.schema}))
        return bool(connection.scalar(THERE[kind_of(connection)], {"name": target.engine.url.database}))


def lost(target: Target) -> Loss:
    tables = len(tables_of(target) - OURS)
    if target.dialect == "sqlite":
        return Loss(target.name, tables, sum(each.stat().st_size for each in files_of(target) if each.exists()))
    with naming(target.name), target.autocommit.connect() as connection:
        if target.schema is not None:
            size = connection.scalar(OF_SCHEMA, {"name": target.schema})
        else:
            size = connection.exec_driver_sql(SIZES[kind_of(connection)]).scalar()
    return Loss(target.name, tables, int(size or 0))


def drop_part(target: Target) -> bool:
    """Drop it, and whether it was there."""
    if target.dialect == "sqlite":
        return remove_files(target)
    if not exists(target):
        return False
    try:
        with beside(target).connect() as connection:
            drop_on_server(connection, target)
    except DBAPIError as error:
        raise MigrationFailed(
            target.name,
            f"The directory does not have the tenant any more, and what he had could not be dropped. {cause(error)} If "
            "a transaction in it is prepared: manybase in-doubt resolve. Then drop the tenant again.",
        ) from error
    return True


def drop_on_server(connection: Connection, target: Target) -> None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    if target.schema is not None:
        connection.exec_driver_sql(f"SET lock_timeout = '{PATIENCE}s'")
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(target.schema)} CASCADE")
        return
    name = quote(target.engine.url.database or "")
    if kind_of(connection) == "mysql":
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {PATIENCE}")
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        return
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if version >= FORCE else ''}")


def kind_of(connection: Connection) -> str:
    return "mysql" if connection.dialect.name in MYSQL else connection.dialect.name


def files_of(target: Target) -> list[Path]:
    file = file_of(target)
    return [file.with_name(file.name + suffix) for suffix in BESIDE]


def remove_files(target: Target) -> bool:
    """The database first: what SQLite keeps beside one says nothing without it."""
    found = [each for each in files_of(target) if each.exists()]
    for each in found:
        each.unlink(missing_ok=True)
    return bool(found)


def remove_leftovers(target: Target) -> None:
    """Of a file that was dropped, whose writer was killed: SQLite would take them for those of the next one."""
    if target.dialect == "sqlite" and not file_of(target).exists():
        remove_files(target)


def beside(target: Target) -> Engine:
    """An engine for the server, or for the database in which a schema is."""
    if target.schema is not None:
        return target.autocommit
    home = home_of(target.databases, target.name)
    return engine_for(target.databases, server_of(home, home.resolve_url()), asyncio=target.asyncio)


def file_of(target: Target) -> Path:
    return Path((target.engine.url.database or "").removeprefix("file:").partition("?")[0])
