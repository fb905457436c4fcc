"""Topologies: which databases a unit is committed over, in their order of declaration, and on which server each is."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, BigInteger, Column, MetaData, Table, create_engine

from manybase import Database, Databases
from tests.servers.server import Server
from tests.shop import FAST

Servers = Mapping[str, Server]


@dataclass(frozen=True)
class Topology:
    name: str
    places: tuple[str, ...]
    """For each database the server it is on, or "sqlite"."""

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place for place in self.places if place != "sqlite"))


TOPOLOGIES = (
    Topology("PG + PG, one server", ("first", "first")),
    Topology("PG + PG", ("first", "second")),
    Topology("PG + PG + PG", ("first", "second", "second")),
    Topology("PG + MariaDB", ("first", "mariadb")),
    Topology("PG + PG + MariaDB", ("first", "second", "mariadb")),
    Topology("MariaDB + MariaDB (XA) + PG", ("mariadb", "mariadb", "first")),
    Topology("SQLite + PG", ("sqlite", "first")),
)  # several SQLite files in one unit would be one more of them

NAMES = ("one", "two", "three")
UNITS = {
    name: Table("units", MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False), info={"of": name})
    for name in NAMES
}

# PREPARE and COMMIT take a while, on the server: clients are killed while they wait for it, without any observer.
SLOW = (
    "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF random() < 0.2 THEN PERFORM pg_sleep(random() * 0.05); END IF; RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON units DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION dawdle()",
)


@dataclass(frozen=True)
class Drivers:
    asyncio: bool
    postgresql: str
    mysql: str
    sqlite: str


DRIVERS = (
    Drivers(False, "psycopg", "pymysql", "pysqlite"),
    Drivers(False, "psycopg2", "pymysql", "pysqlite"),
    Drivers(True, "asyncpg", "asyncmy", "aiosqlite"),
)


@dataclass(frozen=True)
class Place:
    """Where the databases of one trial are; it can be sent to another process."""

    app: str
    urls: Mapping[str, URL]
    """They name the backend only."""

    def declare(self, drivers: Drivers = DRIVERS[0], *, commit_timeout: float = 30) -> Databases:
        """The databases, as a process of this application declares them."""
        declared = [
            Database(
                name,
                url.set(drivername=f"{url.drivername}+{getattr(drivers, url.drivername)}"),
                models=UNITS[name].metadata,
                engine_options=FAST if url.drivername == "sqlite" else {},
            )
            for name, url in self.urls.items()
        ]
        return Databases(*declared, app=self.app, commit_timeout=commit_timeout, pool_timeout=5)


def make(topology: Topology, servers: Servers, folder: Path) -> Place:
    """Fresh databases with their tables."""
    urls = {
        name: URL.create("sqlite", database=str(folder / f"{name}.db")) if place == "sqlite" else fresh(servers[place])
        for name, place in zip(NAMES, topology.places, strict=False)
    }
    place = Place(f"chaos{uuid.uuid4().hex[:8]}", urls)
    databases = place.declare()
    databases.create_all()
    databases.dispose()
    for url in urls.values():
        if url.drivername == "postgresql":
            engine = create_engine(url.set(drivername="postgresql+psycopg"))
            with engine.begin() as connection:
                for statement in SLOW:
                    connection.exec_driver_sql(statement)
            engine.dispose()
    return place


def fresh(server: Server) -> URL:
    return server.create_database()


def drop(topology: Topology, servers: Servers, place: Place) -> None:
    for server, url in zip(topology.places, place.urls.values(), strict=True):
        if server != "sqlite":
            servers[server].drop_database(url)
