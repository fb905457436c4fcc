"""Places where tenants come and go: of each kind of server and of part, with a history, and a directory in a file."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, Column, Integer, MetaData, NullPool, String, Table, create_engine, inspect

from manybase import Database, Databases, lifecycle
from manybase.directories import TenantTable
from tests.migrations.revisions import write_revision
from tests.servers.server import Server

KINDS = ("sqlite", "postgresql", "postgresql schemas", "mariadb", "mariadb schemas")
REVISIONS = ("r1", "r2")
SYNC = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
KILLING = """
    op.create_table("{first}", sa.Column("id", sa.Integer))
    import os, signal
    if os.path.exists({switch!r}):
        os.remove({switch!r})
        os.kill(os.getpid(), signal.SIGKILL)
    op.execute("CREATE TABLE {second} (id integer)")
"""

metadata = MetaData()
customers = Table(
    "customers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", String(64), unique=True, nullable=False),
)


@dataclass(frozen=True)
class Home:
    """Where "crm" is, and its directory, which is a table of "shop". Can be sent to another process."""

    folder: Path
    url: URL
    schema: str | None = None

    @property
    def databases(self) -> Databases:
        return Databases(
            Database("shop", f"sqlite:///{self.folder / 'shop.db'}", models=customers),
            Database("crm", self.url, tenants=TenantTable(customers.c.slug), schema=self.schema),
            migrations=self.folder / "migrations",
        )

    @property
    def switch(self) -> Path:
        """While it is there, the second revision kills its process."""
        return self.folder / "kill"

    def part(self, tenant: str) -> URL:
        """Where a tenant is, as others would reach it; of a schema of PostgreSQL, the database it is in."""
        database = str(self.url.database).replace("{tenant}", tenant)
        if self.schema is not None and self.url.get_backend_name() == "mysql":
            database = self.schema.replace("{tenant}", tenant)
        return self.url.set(drivername=SYNC[self.url.get_backend_name()], database=database)

    def tables(self, tenant: str) -> set[str] | None:
        """What a tenant has; None: not even a database or schema."""
        if self.url.get_backend_name() == "sqlite" and not Path(str(self.part(tenant).database)).exists():
            return None
        schema = None
        if self.schema is not None and self.url.get_backend_name() == "postgresql":
            schema = self.schema.replace("{tenant}", tenant)
        engine = create_engine(self.part(tenant), poolclass=NullPool)
        try:
            with engine.connect() as connection:
                found = inspect(connection)
                if schema is not None and schema not in found.get_schema_names():
                    return None
                return {*found.get_table_names(schema=schema)} - {"manybase_decision"}
        except Exception as error:
            if "does not exist" in str(error) or "Unknown database" in str(error):
                return None
            raise

    def entered(self) -> list[str]:
        databases = self.databases
        try:
            return [name for name, _ in databases.tenants.names("crm", databases)]
        finally:
            databases.dispose()


def die_at(step: str | None) -> None:
    """From now on, this process is killed when a tenant reaches a step."""

    def strike(reached: str, _: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    lifecycle.observers.append(strike)


def create(home: Home, tenant: str, step: str | None = None) -> None:
    die_at(step)
    lifecycle.create_tenant(home.databases, tenant, lock_timeout=20)


def drop(home: Home, tenant: str, step: str | None = None) -> None:
    die_at(step)
    lifecycle.drop_tenant(home.databases, tenant, lock_timeout=20)


def settle(folder: Path, url: URL, schema: str | None = None) -> Home:
    """A home with two revisions, and nobody in it."""
    home = Home(folder, url, schema)
    first = KILLING.format(first="t1", second="t1b", switch="nowhere")
    second = KILLING.format(first="t2", second="t2b", switch=str(home.switch))
    write_revision(folder / "migrations" / "crm", "r1", None, first, "op.drop_table('t1')")
    write_revision(folder / "migrations" / "crm", "r2", "r1", second, "op.drop_table('t2')")
    databases = home.databases
    databases.create_all("shop")
    databases.dispose()
    return home


Settle = Callable[[str], Home]


@pytest.fixture
def make_home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settle]:
    """Makes a home of a kind; what was made on servers is dropped afterwards."""
    made: list[tuple[Server, str]] = []

    def make(kind: str) -> Home:
        backend, _, schemas = kind.partition(" ")
        if backend == "sqlite":
            return settle(tmp_path, URL.create("sqlite", database=str(tmp_path / "crm_{tenant}.db")))
        server: Server = request.getfixturevalue(backend)
        url: URL = request.getfixturevalue(f"{backend}_url")
        url = url.set(drivername=SYNC[url.get_backend_name()])
        made.append((server, f"{url.database}_"))
        if not schemas:
            return settle(tmp_path, url.set(database=f"{url.database}_{{tenant}}"))
        return settle(tmp_path, url, f"{url.database}_{{tenant}}" if backend == "mariadb" else "t_{tenant}")

    yield make
    for server, prefix in made:
        with server.connect() as connection:
            listed = "SELECT datname FROM pg_database" if "postgresql" in server.driver else "SHOW DATABASES"
            for name in connection.exec_driver_sql(listed).scalars().all():
                if name.startswith(prefix):
                    server._clear(connection, name)
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {server_quoted(server, name)}")


def server_quoted(server: Server, name: str) -> str:
    return f'"{name}"' if "postgresql" in server.driver else f"`{name}`"


def marks_of(kind: str) -> list[pytest.MarkDecorator]:
    backend = kind.partition(" ")[0]
    return [] if backend == "sqlite" else [getattr(pytest.mark, backend), pytest.mark.server]


every_kind = pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks_of(kind), id=kind) for kind in KINDS])
