"""Tenants in tests: one that is there for a block, and everything undone, in each of them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, String, create_engine, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import (
    AsyncSession,
    ConfigurationError,
    Database,
    Databases,
    Session,
    TenantDirectory,
    UnknownTenant,
)
from manybase.testing import rollback, tenant
from tests.sessions import SessionKind

Body = Callable[[Session], Any]


class Crm(DeclarativeBase):
    """What each tenant has for itself."""


class Note(Crm):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50))


class Control(DeclarativeBase):
    """What all share."""


class Plan(Control):
    __tablename__ = "plan"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(params=["database", "postgresql database", "schema", "mariadb database", "mariadb schema"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """A database or a schema per tenant, where nobody is a tenant, and one that all share."""
    server, _, kind = request.param.rpartition(" ")
    schema = "t_{tenant}" if kind == "schema" else None
    if server or schema:
        url: URL = request.getfixturevalue(f"{server or 'postgresql'}_url")
        url = url if schema else url.set(database=f"{url.database}_{{tenant}}")
    else:
        url = URL.create("sqlite", database=f"{tmp_path}/crm_{{tenant}}.db")
    databases = Databases(
        Database("crm", url, models=Crm, tenants=(), schema=schema),
        Database("control", f"sqlite:///{tmp_path / 'control.db'}", models=Control),
    )
    databases.create_all()
    yield databases
    databases.dispose()


def use(kind: SessionKind, databases: Databases, name: str, body: Body) -> Any:
    """What ``body`` returns for a session of a tenant."""
    if not kind.asyncio:
        with Session(databases, tenant=name) as session:
            return body(session)

    async def main() -> Any:
        try:
            async with AsyncSession(databases, tenant=name) as session:
                return await session.run_sync(body)
        finally:
            await databases.adispose()

    return asyncio.run(main())


def write(session: Session) -> None:
    session.add(Note(id=1, text=f"of {session.scope.tenant}"))
    session.commit()


def read(session: Session) -> list[str]:
    return list(session.scalars(select(Note.text).order_by(Note.id)))


def places(databases: Databases) -> set[str]:
    """The schemas, or databases, of the server of the tenants."""
    declared = databases["crm"]
    url = declared.resolve_url()
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        return {each.name for each in Path(url.database).parent.glob("crm_*")}
    drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
    where = url.database if declared.schema else "postgres" if "postgresql" in url.drivername else "mysql"
    engine = create_engine(url.set(drivername=drivers[url.get_backend_name()], database=where))
    with engine.connect() as connection:
        if "postgresql" in url.drivername and not declared.schema:
            found = set(connection.scalars(text("SELECT datname FROM pg_database")))
        else:
            found = set(inspect(connection).get_schema_names())
    engine.dispose()
    return {each for each in found if each.endswith(("_acme", "_globex"))}


def test_tenant(databases: Databases, session_kind: SessionKind) -> None:
    """It is there with its tables, empty, apart from others; afterwards nothing of it is left."""
    with tenant(databases, "acme"), tenant(databases, "globex"):
        use(session_kind, databases, "acme", write)
        assert ["of acme"] == use(session_kind, databases, "acme", read)
        assert [] == use(session_kind, databases, "globex", read)
        assert [("acme", None), ("globex", None)] == list(databases.tenants.names("crm", databases))
        use(session_kind, databases, "globex", write)

    assert set() == places(databases)
    with pytest.raises(UnknownTenant):
        use(session_kind, databases, "acme", read)
    with tenant(databases, "acme"):
        assert [] == use(session_kind, databases, "acme", read)


def test_tenant_in_a_rollback(databases: Databases) -> None:
    """Its place is dropped when the block is over, whichever of the two ends first."""
    with rollback(databases), tenant(databases, "acme"), Session(databases, tenant="acme") as session:
        write(session)
        assert ["of acme"] == read(session)
    assert set() == places(databases)

    with tenant(databases, "acme"):
        with rollback(databases), Session(databases, tenant="acme") as session:
            write(session)
        with Session(databases, tenant="acme") as session:
            assert [] == read(session)
    assert set() == places(databases)


def test_tenants_in_one_rollback(databases: Databases) -> None:
    """Sessions of several tenants, interleaved and with savepoints, see their own; a rollback undoes only its own."""
    with tenant(databases, "acme"), tenant(databases, "globex"), rollback(databases):
        with Session(databases, tenant="acme") as acme, Session(databases, tenant="globex") as globex:
            write(acme)
            assert ([], ["of acme"]) == (read(globex), read(acme))
            write(globex)
            with acme.begin_nested():
                acme.add(Note(id=2, text="kept"))
            nested = acme.begin_nested()
            acme.add(Note(id=3, text="undone"))
            acme.flush()
            nested.rollback()
            assert (["of globex"], ["of acme", "kept"]) == (read(globex), read(acme))
            acme.commit()
            globex.add(Note(id=4, text="undone"))
            globex.flush()
            globex.rollback()
        with Session(databases, tenant="globex") as globex:
            assert ["of globex"] == read(globex)

    assert set() == places(databases)


def test_tenants_in_one_async_rollback(databases: Databases) -> None:
    """The same under asyncio, where tenants are made inside a running loop, too."""

    async def body(acme: AsyncSession, globex: AsyncSession) -> None:
        await acme.run_sync(write)
        assert ([], ["of acme"]) == (await globex.run_sync(read), await acme.run_sync(read))
        await globex.run_sync(write)
        assert ["of globex"] == await globex.run_sync(read)

    async def main() -> None:
        with tenant(databases, "acme"), tenant(databases, "globex"):
            async with (
                rollback(databases),
                AsyncSession(databases, tenant="acme") as acme,
                AsyncSession(databases, tenant="globex") as globex,
            ):
                await body(acme, globex)
            async with AsyncSession(databases, tenant="acme") as session:
                assert [] == await session.run_sync(read)
        await databases.adispose()

    asyncio.run(main())
    assert set() == places(databases)


@pytest.fixture
def by_schema(postgresql_url: URL) -> Iterator[Databases]:
    databases = Databases(Database("crm", postgresql_url, models=Crm, tenants=(), schema="t_{tenant}"))
    yield databases
    databases.dispose()


def test_textual_sql_of_tenants_in_one_rollback(by_schema: Databases) -> None:
    """It looks in the schema of its own tenant, also after the savepoint of another; and what is nobody's, in none."""
    count = text("SELECT count(*) FROM note")
    with tenant(by_schema, "acme"), tenant(by_schema, "globex"), rollback(by_schema):
        with Session(by_schema, tenant="acme") as acme, Session(by_schema, tenant="globex") as globex:
            write(acme)
            assert (1, 0, 1) == (acme.scalar(count), globex.scalar(count), acme.scalar(count))
            nested = acme.begin_nested()
            acme.scalar(count)
            nested.rollback()
            assert (0, 1) == (globex.scalar(count), acme.scalar(count))
            globex.commit()
            acme.commit()
        with by_schema.engine("crm").connect() as connection:
            path = connection.scalar(text("SHOW search_path"))

    assert '"$user", public' == path


@pytest.mark.parametrize("find", [lambda name: None, None], ids=["function", "async function"])
def test_directory_that_nobody_can_change(find: Any, tmp_path: Path, session_kind: SessionKind) -> None:
    """It is not asked about a tenant that is there for a test."""

    async def find_later(name: str) -> None:
        raise AssertionError("It was asked.")

    directory = TenantDirectory(find or find_later)
    databases = Databases(Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", models=Crm, tenants=directory))
    with tenant(databases, "acme"):
        use(session_kind, databases, "acme", write)
        assert ["of acme"] == use(session_kind, databases, "acme", read)

    assert [] == list(tmp_path.iterdir())


def test_tenant_that_exists(tmp_path: Path) -> None:
    """What it has is neither seen nor touched."""
    databases = Databases(Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", models=Crm, tenants={"acme"}))
    databases.create_all(tenant="acme")
    with Session(databases, tenant="acme") as session:
        write(session)
    with tenant(databases, "acme"), Session(databases, tenant="acme") as session:
        assert [] == read(session)
        session.add(Note(id=1, text="of the test"))
        session.commit()

    with Session(databases, tenant="acme") as session:
        assert ["of acme"] == read(session)
    databases.dispose()


def test_shards_that_tenants_share(tmp_path: Path) -> None:
    """They need ``rollback()``, which undoes what is written there."""
    shards = {"eu": f"sqlite:///{tmp_path / 'eu.db'}", "us": f"sqlite:///{tmp_path / 'us.db'}"}
    databases = Databases(Database("crm", shards=shards, models=Crm, tenants={"known": "us"}))
    databases.create_all(tenant="known")
    with pytest.raises(ConfigurationError, match="rollback"), tenant(databases, "acme"):
        pass
    with rollback(databases), tenant(databases, "acme", shard="us"), Session(databases, tenant="acme") as session:
        assert "us" == session.route(Note).shard
        write(session)

    with closing(create_engine(shards["us"]).connect()) as connection:
        assert [] == connection.execute(select(Note)).all()
    databases.dispose()


def test_name_that_no_tenant_can_have(tmp_path: Path) -> None:
    """It is refused here as it is elsewhere."""
    databases = Databases(Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", models=Crm, tenants=()))

    with pytest.raises(UnknownTenant), tenant(databases, "../acme"):
        pass
    with (
        pytest.raises(ConfigurationError, match="no database declares tenants"),
        tenant(Databases(Database("main", "sqlite://")), "acme"),
    ):
        pass
