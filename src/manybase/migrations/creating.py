"""Creating: databases that their server does not have yet, and the tables that manybase itself keeps in them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from manybase import decision
from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import MigrationFailed
from manybase.migrations.environments import Target
from manybase.migrations.failures import cause
from manybase.participants import MYSQL, is_volatile
from manybase.parts import base_of, home_of
from manybase.recovering import is_needed, relevant
from manybase.servers import engine_for, server_of
from manybase.wire import mysql_code, sqlstate

MISSING_STATE, MISSING_CODE = "3D000", 1049  # PostgreSQL's and MySQL's names for "there is no such database"
SCHEMAS = text("SELECT count(*) FROM pg_namespace WHERE nspname = :name")
SCHEMA_EXISTS = ("42P06", "23505")
EXISTS_STATES, EXISTS_CODE = ("42P04", "23505"), 1007  # another process was faster


def create_missing(databases: Databases, name: str, *, asyncio: bool) -> bool:
    """Create the database if its server has none of that name; whether it did. Idempotent, also side by side.

    Raises ``MigrationFailed`` where that is not allowed or the server does not answer.
    """
    database = home_of(databases, name)
    if database.engine is not None or is_volatile(database.resolve_url()):
        return False
    url = database.resolve_url()
    if url.get_backend_name() == "sqlite":
        return create_folder(url)
    try:
        with connect(databases, database, asyncio=asyncio):
            return False
    except DBAPIError as error:
        if not is_missing(databases, database, error, asyncio=asyncio):
            raise MigrationFailed(name, cause(error)) from error
    try:
        with connect(databases, server_of(database, url), asyncio=asyncio) as connection:
            return create(connection, url)
    except DBAPIError as error:
        raise MigrationFailed(
            name, f"It does not exist, and could not be created. {cause(error)} Let somebody create it who may."
        ) from error


def is_missing(databases: Databases, database: Database, error: DBAPIError, *, asyncio: bool) -> bool:
    """Whether the server has no database of that name. psycopg gives no code for that, so the server is asked."""
    if sqlstate(error) == MISSING_STATE or mysql_code(error) == MISSING_CODE:
        return True
    url = database.resolve_url()
    if sqlstate(error) is not None or url.get_backend_name() != "postgresql":
        return False
    try:
        with connect(databases, server_of(database, url), asyncio=asyncio) as connection:
            found = text("SELECT count(*) FROM pg_database WHERE datname = :name").bindparams(name=url.database)
            return bool(connection.scalar(found) == 0)
    except DBAPIError:
        return False


def connect(databases: Databases, database: Database, *, asyncio: bool) -> Connection:
    return engine_for(databases, database, asyncio=asyncio).connect()


def create(connection: Connection, url: URL) -> bool:
    quoted = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
    try:
        connection.exec_driver_sql(f"CREATE DATABASE {quoted}")
    except DBAPIError as error:
        if sqlstate(error) in EXISTS_STATES or mysql_code(error) == EXISTS_CODE:
            return False
        raise
    return True


def create_schema(target: Target) -> bool:
    """Create the schema of a tenant, where it has one in a database of others'; whether it was missing."""
    if target.schema is None:
        return False
    try:
        with target.autocommit.connect() as connection:
            if connection.scalar(SCHEMAS, {"name": target.schema}):
                return False
            quoted = connection.dialect.identifier_preparer.quote_identifier(target.schema)
            connection.exec_driver_sql(f"CREATE SCHEMA {quoted}")
    except DBAPIError as error:
        if sqlstate(error) in SCHEMA_EXISTS:
            return False
        raise MigrationFailed(target.name, cause(error)) from error
    return True


def create_folder(url: URL) -> bool:
    """Whether the folder of a SQLite file was missing; the file comes with the first connection."""
    path = Path((url.database or "").removeprefix("file:").partition("?")[0])
    missing = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def keep_decisions(databases: Databases, target: Target) -> None:
    """The table in which atomic commits are decided, made ahead: the application may not be allowed to, later."""
    if not is_needed(databases) or base_of(target.name) not in relevant(databases):
        return
    if target.part is not None and target.part.schema is not None:  # they are kept where its engine connects
        return
    if target.dialect not in (*MYSQL, "postgresql", "sqlite"):
        return
    try:
        with target.autocommit.connect() as connection:
            decision.create(connection)
    except DBAPIError as error:
        raise MigrationFailed(target.name, cause(error)) from error
