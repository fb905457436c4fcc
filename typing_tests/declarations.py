"""Declarations as a user types them."""

from pathlib import Path
from typing import assert_type

from sqlalchemy import URL, Column, Engine, Integer, MetaData, Table, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases, Federation


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


table = Table("plain", MetaData(), Column("id", Integer))

databases = Databases(
    Database("shop", "postgresql+psycopg://shop@db1/shop", models="shop.models", default=True),
    Database(
        "analytics", URL.create("mysql", host="db2"), models=["analytics.models", Base, User, table, table.metadata]
    ),
    Database("audit", models=Base.metadata, required=True),
    Database("eu", models=User, shared_models=True, engine_options={"pool_size": 3, "connect_args": {"timeout": 5}}),
    Database("given", engine=create_engine("sqlite://")),
    Database("given-too", engine=create_async_engine("sqlite+aiosqlite://")),
    engine_options={"pool_pre_ping": True},
    pool_timeout=2.5,
)

assert_type(databases.names, tuple[str, ...])
assert_type(databases.default, str | None)
assert_type(databases["shop"], Database)
assert_type(next(iter(databases)), Database)
assert_type("shop" in databases, bool)
assert_type(len(databases), int)
assert_type(databases.engine("shop"), Engine)
assert_type(databases.engine(), Engine)
assert_type(databases.async_engine("shop"), AsyncEngine)
assert_type(databases.tables("shop"), tuple[Table, ...])
assert_type(databases["shop"].resolve_url(), URL)
assert_type(databases["shop"].engine, Engine | AsyncEngine | None)

databases.load()
databases.create_all()
databases.create_all("shop", "audit")
databases.dispose()


async def under_asyncio() -> None:
    await databases.acreate_all("shop")
    await databases.adispose()


Database("shop", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Database("shop", "sqlite://", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Database("shop", engine="sqlite://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Databases("sqlite://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
databases["shop"].name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

limits = Federation(max_rows=100, max_bytes=10**6, timeout=5, memory=10**8, slow=0.5, spill_directory=Path("spill"))
assert_type(Databases(Database("audit"), federation=limits).federation, Federation)
assert_type(limits.slow, float)
Federation(100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Databases(Database("audit"), federation=100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
