"""What an AsyncSession connects to, and what it refuses to be told."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession
from sqlalchemy.ext.asyncio import create_async_engine

from manybase import AmbiguousRoute, AsyncSession, ConfigurationError, CrossDatabaseError, Databases, Session
from tests.sessions import assert_idle, run_async
from tests.shop import Event, User, in_files


def test_get_bind(databases: Databases) -> None:
    """It is not awaited either, holds no place in a pool, and gives the sync engine, as SQLAlchemy's does."""

    async def body(session: AsyncSession) -> bool:
        binds = [session.get_bind(User), session.get_bind(clause=select(Event))]
        with pytest.raises(AmbiguousRoute):
            session.get_bind()
        assert_idle(databases, asyncio=True)
        return binds == [databases.async_engine(name).sync_engine for name in ("shop", "analytics")]

    assert run_async(databases, body)


def test_bind(tmp_path: Any) -> None:
    """It is the async engine of the default or pinned database, or None."""

    async def body(session: AsyncSession) -> bool:
        pinned = AsyncSession(session.sync_session.databases, database="shop")
        declared = session.sync_session.databases
        return [session.bind, pinned.bind] == [declared.async_engine(name) for name in ("audit", "shop")]

    async def none(session: AsyncSession) -> Any:
        return session.bind

    assert run_async(in_files(tmp_path, default="audit"), body)
    assert run_async(in_files(tmp_path), none) is None


def test_async_engine_instead_of_databases() -> None:
    """The error says how an engine is declared."""
    with pytest.raises(ConfigurationError, match=r"Database\(name, engine=engine\)"):
        AsyncSession(create_async_engine("sqlite+aiosqlite://"))  # type: ignore[arg-type]


def test_bind_as_an_option(databases: Databases) -> None:
    """It is refused, as in the constructor of the sync session."""
    with pytest.raises(ConfigurationError, match="takes the declared databases"):
        AsyncSession(databases, bind=create_async_engine("sqlite+aiosqlite://"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="takes the declared databases"):
        AsyncSession(databases, binds={User: create_async_engine("sqlite+aiosqlite://")})


def test_bind_that_is_assigned_later(databases: Databases) -> None:
    """It is refused too, not silently ignored."""
    engine = create_async_engine("sqlite+aiosqlite://")

    with pytest.raises(ConfigurationError):
        AsyncSession(databases).bind = engine
    with pytest.raises(ConfigurationError):
        Session(databases).bind = engine.sync_engine
    with pytest.raises(ConfigurationError):
        Session(databases).bind_mapper(User, engine.sync_engine)


def test_get_bind_of_a_select_over_two_databases(databases: Databases) -> None:
    """One engine stands for both where the session asks; as an async engine there is none, and it says so."""
    both = select(User).join(User.events)

    async def body(session: AsyncSession) -> bool:
        bind = session.get_bind(clause=both)
        if hasattr(SQLAlchemyAsyncSession, "get_async_bind"):
            with pytest.raises(CrossDatabaseError, match="the session runs it"):
                session.get_async_bind(clause=both)
        return bind is session.sync_session.get_bind(clause=both)

    assert run_async(databases, body)
