"""Atomic commits with the part of a tenant: recovered by processes that never heard of the tenant."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL, create_engine, text

from manybase import AtomicityError, Database, Databases, Session
from manybase.recovery import Report, in_doubt, resolve
from manybase.steps import Step
from tests.atomic.recovering import decisions, prepared, recover
from tests.servers.server import Server
from tests.tenants.leaving import TENANTS, World, leave, logs_entries, shop_entries

pytestmark = [pytest.mark.once, pytest.mark.postgresql, pytest.mark.mariadb, pytest.mark.server]

LONG = "a" * 60


@pytest.fixture
def world(postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], app: str) -> Iterator[World]:
    shop = create_database(postgresql).set(drivername="postgresql+psycopg")
    maria = create_database(mariadb).set(drivername="mysql+pymysql")
    made = World(
        shop, shop.set(database=f"{shop.database}_{{tenant}}"), maria.set(database=f"{maria.database}_{{tenant}}"), app
    )
    for tenant in TENANTS:
        for name, server in (("crm", postgresql), ("logs", mariadb)):
            with server.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {made.of(tenant)[f'{name}@{tenant}'].database}")
        for url in made.of(tenant).values():
            engine = create_engine(url)
            shop_entries.create(engine, checkfirst=True)
            engine.dispose()
    yield made
    for tenant in TENANTS:
        for name, server in (("crm", postgresql), ("logs", mariadb)):
            server.drop_database(made.of(tenant)[f"{name}@{tenant}"])


@pytest.fixture
def app() -> str:
    return f"t{uuid4().hex[:8]}"


@pytest.mark.parametrize(("step", "count"), [("all prepared", 0), ("committed", 1)])
def test_tenants_that_nobody_heard_of(world: World, step: Step, count: int) -> None:
    """What a killed process has left of two tenants is found on the servers, shown, and ended as it was decided."""
    for tenant in TENANTS:
        leave(world, tenant, step)
    databases = world.declare()  # with an empty directory

    doubts = in_doubt(databases)
    recover(databases)

    parts = {f"{name}@{tenant}" for name in ("crm", "logs") for tenant in TENANTS}
    assert (parts, {"shop"}) == ({each.database for each in doubts}, {each.coordinator for each in doubts})
    assert [[2 * count, count, count]] * 2 == [world.count(tenant) for tenant in TENANTS]
    assert [[], []] == [prepared(world.of(tenant), world.app) for tenant in TENANTS]
    assert 0 == decisions({"shop": world.shop}, "commit")
    databases.dispose()


@pytest.mark.parametrize(("step", "count"), [("all prepared", 0), ("committed", 1)])
def test_decision_in_a_part(world: World, step: Step, count: int) -> None:
    """With tenant databases only, one of the parts decides; the decision is forgotten once it is carried out."""
    leave(world, "acme", step, ("crm", "logs"))
    databases = world.declare()

    recover(databases)
    resolve(databases, min_age=0)

    assert [0, count, count] == world.count("acme")
    assert [] == prepared(world.of("acme"), world.app)
    assert 0 == decisions({name: url for name, url in world.of("acme").items() if name != "shop"}, "commit")
    databases.dispose()


def test_only_what_is_prepared_is_visited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tenants, and whoever cannot be one here, are left in peace."""
    leave(world, "acme", "committed")
    databases = world.declare(*TENANTS)
    visited: list[str] = []
    beside = Databases.beside

    def noting(self: Databases, name: str, *, asyncio: bool = False) -> object:
        visited.append(name)
        return beside(self, name, asyncio=asyncio)

    monkeypatch.setattr(Databases, "beside", noting)

    report: Report = resolve(databases, min_age=0)

    assert ({"crm@acme", "logs@acme"}, []) == ({each.database for each in report.resolutions}, report.unreachable)
    assert set() == {each for each in visited if "bolt" in each}
    databases.dispose()


def test_names_that_are_too_long(world: World) -> None:
    """They are told before anything is written, with a way out."""
    databases = Databases(
        Database("shop", world.shop, models=shop_entries),
        Database("logs", shards={LONG: world.of("acme")["logs@acme"]}, models=logs_entries, tenants={"acme": LONG}),
        app=world.app,
    )

    with Session(databases, tenant="acme") as session, pytest.raises(AtomicityError, match="64 bytes"):
        session.execute(text("SELECT 1"), bind_arguments={"database": "logs"})

    databases.dispose()
