"""Tenants: declarations, sessions and dependencies as a user types them."""

from typing import Annotated, assert_type

from fastapi import Header
from sqlalchemy import Engine, ScalarResult, select
from sqlalchemy.ext.asyncio import AsyncEngine

from manybase import AsyncSession, Database, Databases, Session, TenantDirectory, TenantTable
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency
from manybase.testing import rollback, tenant
from typing_tests.declarations import User


def find(name: str) -> str | None:
    return {"acme": "eu"}.get(name)


async def find_later(name: str) -> bool:
    return name == "acme"


databases = Databases(
    Database("set", "sqlite:///{tenant}.db", tenants={"acme"}),
    Database("schema", "postgresql://h/crm", tenants=["acme"], schema="t_{tenant}"),
    Database("shards", shards={"eu": "postgresql://eu/crm"}, tenants={"acme": "eu"}, tenant_names="[a-z]+"),
    Database("column", "sqlite:///{tenant}.db", tenants=User.id),
    Database("table", "sqlite:///{tenant}.db", tenants=TenantTable(User.id, values={"plan": "free"})),
    Database("function", shards={"eu": "postgresql://eu/crm"}, tenants=find),
    Database("later", "sqlite:///{tenant}.db", tenants=TenantDirectory(find_later, names=lambda: ["acme"], believed=5)),
    max_connections=200,
    max_tenant_engines=50,
    tenant_engine_idle=60,
)

assert_type(databases.engine("set", tenant="acme"), Engine)
assert_type(databases.async_engine("set", tenant="acme"), AsyncEngine)
assert_type(databases.usage().connections, int)
databases.create_all(tenant="acme")
databases.create_all("set", tenant="acme")


def by_header(x_tenant: Annotated[str | None, Header()] = None) -> str | None:
    return x_tenant


async def by_path(name: str) -> str:
    return name


TenantDep = Annotated[AsyncSession, session_dependency(databases, tenant=by_header)]
PinnedDep = Annotated[AsyncSession, session_dependency(databases, database="set", tenant=by_path, atomic=False)]
SyncDep = Annotated[Session, sync_session_dependency(databases, tenant=by_path)]
StreamDep = Annotated[AsyncSession, streaming_dependency(databases, tenant=by_path, role="replica")]


async def route(session: TenantDep, pinned: PinnedDep, streaming: StreamDep) -> list[User]:
    assert_type(session, AsyncSession)
    return list(await session.scalars(select(User)))


def sync_route(session: SyncDep) -> list[User]:
    assert_type(session.scope.tenant, str | None)
    return list(session.scalars(select(User)))


def test() -> None:
    with tenant(databases, "acme", shard="eu"), rollback(databases), Session(databases, tenant="acme") as session:
        assert_type(session.scalars(select(User)), ScalarResult[User])
        assert_type(session.route(User).tenant, str | None)


async def async_test() -> None:
    await databases.acreate_all(tenant="acme")
    async with AsyncSession(databases, tenant="acme", database="set") as session:
        await session.commit()
