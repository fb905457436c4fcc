"""Databases with tenants: health, doctor, create_all and idle engines; none of them connects to nobody's database."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import URL, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import (
    AmbiguousRoute,
    AsyncSession,
    ConfigurationError,
    Database,
    Databases,
    Session,
    TenantDirectory,
    TenantTable,
    UnknownTenant,
)
from manybase.cli.looking import examine, ping
from manybase.doctor import Finding, adiagnose, diagnose
from manybase.fastapi import running
from manybase.health import DatabaseHealth, Health
from manybase.idling import closing_idle
from manybase.tenant_health import ask_directory

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://127.0.0.1:1/crm"
CreateAll = Callable[..., None]


class Crm(DeclarativeBase):
    """What each tenant has for itself."""


class Note(Crm):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)


class Control(DeclarativeBase):
    """What all share."""


class Customer(Control):
    __tablename__ = "customer"

    slug: Mapped[str] = mapped_column(primary_key=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def declared(path: Path, tenants: Any, url: str | None = None, **options: Any) -> Databases:
    return Databases(
        Database("control", f"sqlite:///{path / 'control.db'}", models=Control, default=True),
        Database("crm", url or f"sqlite:///{path}/crm_{{tenant}}.db", models=Crm, tenants=tenants),
        **options,
    )


def check(databases: Databases, name: str = "crm") -> DatabaseHealth:
    async def main() -> DatabaseHealth:
        health = await Health(databases, timeout=10).check(name)
        await databases.adispose()
        return health

    return asyncio.run(main())


def acreate_all(databases: Databases, *names: str, **options: Any) -> None:
    async def main() -> None:
        await databases.acreate_all(*names, **options)
        await databases.adispose()

    asyncio.run(main())


@pytest.fixture(params=[Databases.create_all, acreate_all], ids=["sync", "async"])
def create_all(request: pytest.FixtureRequest) -> CreateAll:
    created: CreateAll = request.param
    return created


def test_create_all(create_all: CreateAll, tmp_path: Path) -> None:
    """Without a tenant, what all share; with one, what is its own, be it in the directory yet or not."""
    databases = declared(tmp_path, {"acme"})
    create_all(databases)
    assert {"control.db"} == {each.name for each in tmp_path.iterdir()}
    create_all(databases, tenant="acme")
    create_all(databases, tenant="acme")
    create_all(databases, "crm", tenant="later")
    assert {"control.db", "crm_acme.db", "crm_later.db"} == {each.name for each in tmp_path.iterdir()}

    assert ["note"] == inspect(databases.engine("crm", tenant="acme")).get_table_names()
    databases.dispose()


def test_create_all_that_is_refused(create_all: CreateAll, tmp_path: Path) -> None:
    """Nobody's database, a database without tenants, and a name that no tenant can have; nothing is made."""
    databases = declared(tmp_path, {"acme"})
    in_schemas = Databases(Database("crm", NOWHERE, models=Crm, tenants={"acme"}, schema="t_{tenant}"))

    for each in (databases, in_schemas):
        with pytest.raises(AmbiguousRoute, match="nothing says which one"):
            create_all(each, "crm")
    create_all(in_schemas)  # nothing
    with pytest.raises(ConfigurationError, match="'control' has no tenants"):
        create_all(databases, "control", tenant="acme")
    with pytest.raises(UnknownTenant):
        create_all(databases, tenant="../acme")
    assert [] == list(tmp_path.iterdir())


def test_create_all_of_a_tenant_in_a_shard(create_all: CreateAll, tmp_path: Path) -> None:
    """The directory says in which, so it has to know the tenant."""
    shards = {"eu": f"sqlite:///{tmp_path / 'eu.db'}", "us": f"sqlite:///{tmp_path / 'us.db'}"}
    databases = Databases(Database("crm", shards=shards, models=Crm, tenants={"acme": "us"}))
    create_all(databases, tenant="acme")

    assert ["us.db"] == [each.name for each in tmp_path.iterdir()]
    with pytest.raises(UnknownTenant):
        create_all(databases, tenant="nobody")
    databases.dispose()


def test_create_all_in_a_schema(create_all: CreateAll, postgresql_url: URL) -> None:
    """The schema is made, too, whatever its name."""
    databases = Databases(Database("crm", postgresql_url, models=Crm, tenants={"my-acme"}, schema="t {tenant}"))
    create_all(databases, tenant="my-acme")

    assert ["note"] == inspect(databases.engine("crm")).get_table_names("t my-acme")
    with Session(databases, tenant="my-acme") as session:
        assert [] == session.scalars(select(Note)).all()
    databases.dispose()


def test_health_of_a_database_per_tenant(tmp_path: Path) -> None:
    """The directory is asked; nothing connects to the tenants, and no file appears."""
    databases = declared(tmp_path, {"acme"})

    assert DatabaseHealth("crm", "ok", connected=True, directory="ok") == check(databases)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_health_of_a_directory_that_fails(asynchronous: bool, tmp_path: Path) -> None:
    """A warning: who is known already is served."""

    def find(name: str) -> bool:
        raise OSError("password hunter2")

    async def find_later(name: str) -> bool:
        return find(name)

    databases = declared(tmp_path, find_later if asynchronous else find)

    assert DatabaseHealth("crm", "warn", connected=False, directory="failed") == check(databases)


def test_health_of_a_directory_in_a_table(tmp_path: Path) -> None:
    """It answers where the table is there."""
    databases = declared(tmp_path, TenantTable(Customer.slug))
    assert "failed" == check(databases).directory
    databases.create_all()

    assert ("ok", "ok") == (check(databases).status, check(databases).directory)
    databases.dispose()


async def test_directory_that_does_not_answer(tmp_path: Path) -> None:
    """However often it is asked, one thread waits for it."""
    asked: list[str] = []
    answered = Event()

    def find(name: str) -> bool:
        asked.append(name)
        return answered.wait(10)

    databases = declared(tmp_path, TenantDirectory(find))
    try:
        assert ["timeout", "timeout"] == [await ask_directory(databases, "crm", 0.05) for _ in range(2)]
    finally:
        answered.set()
    assert 1 == len(asked)


def test_health_of_shards(tmp_path: Path) -> None:
    """Each is asked where its tenants share it; one that is down is a warning, as only its tenants notice."""
    shards = {"up": f"sqlite:///{tmp_path / 'up.db'}", "down": NOWHERE}
    databases = Databases(Database("crm", shards=shards, models=Crm, tenants={"acme": "up"}))
    health = check(databases)

    assert ("warn", True, "ok") == (health.status, health.connected, health.directory)
    assert [("crm@up", "ok"), ("crm@down", "fail")] == [(each.database, each.status) for each in health.shards]


def test_health_of_schemas() -> None:
    """Their server is asked, as for any database."""
    databases = Databases(Database("crm", NOWHERE, models=Crm, tenants={"acme"}, schema="t_{tenant}"))
    health = check(databases)

    assert ("fail", False, "unreachable", "ok") == (health.status, health.connected, health.error, health.directory)


def findings(databases: Databases, *, asyncio_: bool) -> list[Finding]:
    if not asyncio_:
        return diagnose(databases)

    async def main() -> list[Finding]:
        found = await adiagnose(databases)
        await databases.adispose()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize("asyncio_", [False, True])
def test_doctor(asyncio_: bool, tmp_path: Path) -> None:
    """One tenant stands for all; without any, it says that nothing was looked at. No file appears."""
    databases = declared(tmp_path, {"acme", "globex"})
    assert {"control", "crm@acme"} == {each.database for each in findings(databases, asyncio_=asyncio_)} - {None}
    (unasked,) = [each for each in findings(declared(tmp_path, set()), asyncio_=asyncio_) if each.database == "crm"]

    assert ("warn", "tenants") == (unasked.level, unasked.topic)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
@pytest.mark.parametrize("asyncio_", [False, True])
def test_doctor_counts_connections(server: str, asyncio_: bool, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What a process may open is compared with what the server allows."""
    url: URL = request.getfixturevalue(f"{server}_url")
    text = url.render_as_string(hide_password=False)
    name = str(url.database)
    here = f"{text.removesuffix(name)}{name[:-1]}{{tenant}}"

    def found(**options: Any) -> list[tuple[str, str]]:
        databases = declared(tmp_path, {name[-1]}, here, **options)
        return [
            (each.level, each.message)
            for each in findings(databases, asyncio_=asyncio_)
            if (each.database, each.topic) == (f"crm@{name[-1]}", "connections")
        ]

    ((level, message),) = found(max_connections=20)
    assert ("ok", True) == (level, message.startswith("Each process opens 20 connections at most"))
    ((level, message),) = found()
    assert ("warn", True) == (level, "may open 750 connections (max_tenant_engines times 15" in message)
    assert "warn" in {level for level, _ in found(max_connections=5_000)}
    assert any("one tenant can take them all" in message for _, message in found(max_connections=12))


async def test_engines_that_are_idle(tmp_path: Path) -> None:
    """They are closed while an application runs, without anybody asking for another one."""
    databases = declared(tmp_path, {"acme"}, tenant_engine_idle=0.05)
    await databases.acreate_all(tenant="acme")
    async with closing_idle(databases):
        async with AsyncSession(databases, tenant="acme") as session:
            await session.scalars(select(Note))
        async with asyncio.timeout(10):
            while databases.usage().evictions == 0:
                await asyncio.sleep(0.01)
    await databases.adispose()

    assert "manybase tenants" not in {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("name", ["crm", "control"])
def test_command_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings about a part belong to its database; ping tells each shard apart."""
    shards = {"up": f"sqlite:///{tmp_path / 'up.db'}", "down": NOWHERE}
    databases = Databases(
        Database("control", f"sqlite:///{tmp_path / 'control.db'}", models=Control, default=True),
        Database("crm", shards=shards, models=Crm, tenants={"acme": "up"}),
    )
    databases.create_all()
    examine(databases, [name], json=False, strict=False)
    assert (name == "crm") is ("crm@down" in capsys.readouterr().out)
    ping(databases, [name], json=False)
    assert (name == "crm") is ("crm@down" in capsys.readouterr().out)
    databases.dispose()


async def test_application_with_recovery(tmp_path: Path) -> None:
    """It starts where the servers of tenants take part in atomic commits, and do not answer."""
    databases = declared(tmp_path, {"acme"}, f"{NOWHERE}_{{tenant}}")
    async with running(databases):
        assert {"manybase recovery", "manybase tenants"} <= {task.get_name() for task in asyncio.all_tasks()}
