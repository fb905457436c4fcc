"""Aftermath: when nobody commits any more, recover what is left, then read what is there."""

import time
from collections.abc import Callable

from sqlalchemy import URL, Connection, text

from manybase.recovery import resolve
from tests.chaos.topologies import Place
from tests.servers.server import Server

PATIENCE = 60  # seconds
# Without asking manybase: what is prepared, and who is connected besides us.
PREPARED = {
    "postgresql": "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()",
    "mysql": "XA RECOVER",
}
CONNECTED = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = :database AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = :database AND id <> connection_id()",
}


def settle(place: Place, server_of: Callable[[URL], Server]) -> int:
    """How many transactions stay prepared, after recovery has had its time; it begins while killed clients' last words
    may still be under way on the servers."""
    databases = place.declare()
    deadline = time.monotonic() + PATIENCE
    while True:
        resolve(databases, min_age=0)
        busy, prepared = 0, 0
        for url in place.urls.values():
            if url.drivername == "sqlite":
                continue
            with server_of(url).connect(url.database) as connection:
                busy += connection.execute(text(CONNECTED[url.drivername]), {"database": url.database}).scalar_one()
                prepared += count_prepared(connection, place.app)
        if busy + prepared == 0 or time.monotonic() > deadline:
            return prepared
        time.sleep(0.05)


def count_prepared(connection: Connection, app: str) -> int:
    found = connection.exec_driver_sql(PREPARED[connection.dialect.name])
    if connection.dialect.name == "postgresql":
        return int(found.scalar_one())
    return sum(app in str(row.data) for row in found)  # it names no database


def rows(place: Place) -> dict[str, set[int]]:
    """The units in each database."""
    databases = place.declare()
    found = {}
    for name in databases.names:
        with databases.engine(name).connect() as connection:
            found[name] = set(connection.exec_driver_sql("SELECT id FROM units").scalars())
    databases.dispose()
    return found
