"""Fixtures of the tests of tenants: a database, a schema or a shard for each, on each kind of server."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine, MetaData, event

from manybase import AsyncSession, Database, Databases, Session
from tests.servers.server import Server
from tests.sessions import SessionKind
from tests.tenants.customers import TENANTS, Crm, Shared, at, in_files

T = TypeVar("T")
Run = Callable[..., Any]
Declare = Callable[..., Databases]
SHARDS = dict(zip(TENANTS, ("eu", "us", "eu"), strict=True))
KINDS = {
    "sqlite": ("database", "shard"),
    "postgresql": ("database", "schema", "shard"),
    "mariadb": ("database", "schema"),
}


@pytest.fixture
def connects() -> Iterator[list[str]]:
    """Every attempt to connect, by the dialect's name."""
    seen: list[str] = []

    def note(dialect: Any, *_: object) -> None:
        seen.append(dialect.name)

    event.listen(Engine, "do_connect", note)
    yield seen
    event.remove(Engine, "do_connect", note)


def create_tables(databases: Databases, metadata: MetaData = Crm.metadata) -> None:
    """The tables of each tenant, made past the sessions, and those that all share."""
    for tenant in TENANTS:
        schema = databases.tenants.place("crm", tenant, databases, asyncio=False).schema
        engine = databases.engine("crm", tenant=tenant)
        options = {} if schema is None else {"schema_translate_map": {None: schema}}
        metadata.create_all(engine.execution_options(**options))
    if "shared" in databases:
        databases.create_all("shared")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Databases]:
    """A SQLite file for each tenant, and one that they share."""
    databases = in_files(tmp_path, shared=True)
    create_tables(databases)
    yield databases
    databases.dispose()


@pytest.fixture
def declare_on() -> Iterator[Callable[..., Declare]]:
    """``declare_on(server, kind)``: what declares databases whose tenants have a part of each kind on a server."""
    made: list[tuple[Server, Any]] = []

    def create(server: Server, name: str) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        made.append((server, server.url(name)))

    def declare_on(server: Server, kind: str) -> Declare:
        shared = server.create_database()
        made.append((server, shared))
        name, schemas = str(shared.database), server.driver.startswith("postgresql")
        if kind == "database" or not schemas:
            for tenant in TENANTS:
                create(server, f"{name}_{tenant}")
        elif kind == "shard":
            for shard in ("eu", "us"):
                create(server, f"{name}_{shard}")
        for tenant in TENANTS if schemas and kind != "database" else ():
            with server.connect(name if kind == "schema" else f"{name}_{SHARDS[tenant]}") as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA t_{tenant}")
        schema = "t_{tenant}" if schemas else f"{name}_{{tenant}}"
        places: dict[str, dict[str, Any]] = {
            "database": {"url": at(shared, f"{name}_{{tenant}}"), "tenants": TENANTS},
            "schema": {"url": shared, "schema": schema, "tenants": TENANTS},
            "shard": {
                "shards": {shard: at(shared, f"{name}_{shard}") for shard in ("eu", "us")},
                "schema": schema,
                "tenants": SHARDS,
            },
        }

        def declare(models: Any = Crm, **options: Any) -> Databases:
            return Databases(
                Database("crm", models=models, **places[kind]),
                Database("shared", shared, models=Shared),
                **options,
            )

        return declare

    yield declare_on
    for server, url in made:
        server.drop_database(url)


@pytest.fixture
def declare(request: pytest.FixtureRequest, tmp_path: Path) -> Declare:
    """What declares the databases of ``crm`` for one server and kind, and ``shared`` beside them."""
    name, kind = request.param
    if name != "sqlite":
        found: Declare = request.getfixturevalue("declare_on")(request.getfixturevalue(name), kind)
        return found
    if kind == "database":
        return lambda **options: in_files(tmp_path, shared=True, **options)
    shards = {shard: f"sqlite:///{tmp_path}/{shard}_{{tenant}}.db" for shard in ("eu", "us")}
    shared = f"sqlite:///{tmp_path}/shared.db"
    return lambda **options: Databases(
        Database("crm", shards=shards, models=Crm, tenants=SHARDS),
        Database("shared", shared, models=Shared),
        **options,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "declare" in metafunc.fixturenames:
        asked = metafunc.definition.get_closest_marker("kinds")
        kinds = [(name, kind) for name, all_kinds in KINDS.items() for kind in all_kinds]
        chosen = [each for each in kinds if asked is None or "-".join(each) in asked.args]
        metafunc.parametrize("declare", [parameter(*each) for each in chosen], indirect=True)


def parameter(name: str, kind: str) -> Any:
    marks = [] if name == "sqlite" else [getattr(pytest.mark, name), pytest.mark.server]
    return pytest.param((name, kind), marks=marks, id=f"{name}-{kind}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kinds: which kinds of tenants a test is about, such as 'postgresql-schema'")


@pytest.fixture
def databases(declare: Declare) -> Iterator[Databases]:
    """The databases, with the tables of each tenant."""
    found = declare()
    create_tables(found)
    yield found
    found.dispose()


@pytest.fixture
def run(session_kind: SessionKind) -> Run:
    """``run(databases, body, tenant="acme")``: what the body returns for a session of either kind."""

    def run(databases: Databases, body: Callable[[Session], T], **options: Any) -> T:
        if session_kind.asyncio:
            return asyncio.run(in_loop(databases, body, options))
        with Session(databases, **options) as session:
            result = body(session)
        assert 0 == databases.usage().in_use
        return result

    return run


async def in_loop(databases: Databases, body: Callable[[Session], T], options: dict[str, Any]) -> T:
    try:
        async with AsyncSession(databases, **options) as session:
            result = await session.run_sync(body)
        assert 0 == databases.usage().in_use
        return result
    finally:
        await databases.adispose()
