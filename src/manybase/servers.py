"""Servers: a connection to the server of a database beside that database, to make one, drop one, or look around."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine

from manybase.connecting import connected, make_async_engine, make_engine, unpooled
from manybase.database import Database
from manybase.engines import Databases

MAINTENANCE = "postgres"  # the database of PostgreSQL that is there to connect to


@contextmanager
def on_server(databases: Databases, name: str, *, asyncio: bool) -> Iterator[Connection]:
    """A connection to the server of a database, closed afterwards."""
    declared = databases[name]
    engine = engine_for(databases, server_of(declared, declared.resolve_url()), asyncio=asyncio)
    with connected(engine) as connection:
        yield connection


def engine_for(databases: Databases, database: Database, *, asyncio: bool) -> Engine:
    """One that keeps no connection, and commits each statement by itself."""
    options = {**unpooled(databases.options_of(database.name)), "isolation_level": "AUTOCOMMIT"}
    if asyncio:
        return make_async_engine(database, options).sync_engine
    engine = make_engine(database, options, wrap=databases.bounds.wrap(tenants=False))
    databases.bounds.watch(engine)
    return engine


def server_of(database: Database, url: URL) -> Database:
    """The same server without that database."""
    return database.elsewhere(
        database.name, url.set(database=MAINTENANCE if url.get_backend_name() == "postgresql" else "")
    )
