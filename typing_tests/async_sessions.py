"""AsyncSession: the same under asyncio."""

from collections.abc import Sequence
from typing import assert_type

from sqlalchemy import Result, Row, ScalarResult, select, text
from sqlalchemy.ext.asyncio import AsyncResult, AsyncScalarResult, async_scoped_session, async_sessionmaker
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession
from sqlalchemy.orm import Session as SQLAlchemySession

from manybase import AsyncSession, Explanation, Route, Session
from typing_tests.declarations import databases
from typing_tests.models import Event, User


async def use() -> None:
    async with AsyncSession(databases) as session:
        assert_type(session, AsyncSession)
        assert_type(session.sync_session, Session)
        assert_type(await session.scalars(select(User)), ScalarResult[User])
        optional(await session.scalar(select(User.nickname)))  # Any | None to mypy, as from SQLAlchemy itself
        assert_type(await session.execute(select(User.id, Event)), Result[int, Event])
        assert_type((await session.execute(select(User.id, User.name))).one(), Row[int, str])
        assert_type(await session.get(User, 1), User | None)
        assert_type(await session.get_one(User, 1), User)
        assert_type(await session.merge(User(name="ann")), User)
        assert_type(await session.stream(select(User.id)), AsyncResult[int])
        assert_type(await session.stream_scalars(select(User)), AsyncScalarResult[User])
        async for user in await session.stream_scalars(select(User)):
            assert_type(user, User)
        assert_type(await session.run_sync(names), list[str])
        await session.execute(text("SELECT 1"), bind_arguments={"database": "audit"})
        async with session.begin_nested():
            session.add(User(name="ann"))
        await session.commit()
        assert_type(session.route(select(User)), Route)
        assert_type(await session.explain(select(User), analyze=True), Explanation)
        assert_type(session.route(User, database="shop"), Route)


def optional(text: str | None) -> None: ...


def names(session: SQLAlchemySession) -> list[str]:
    return [*session.scalars(select(User.name))]


async def takes_any_session(session: SQLAlchemyAsyncSession) -> Sequence[User]:
    return (await session.scalars(select(User))).all()


async def make() -> None:
    await takes_any_session(AsyncSession(databases, database="shop", expire_on_commit=False))
    maker = async_sessionmaker(class_=AsyncSession, databases=databases, expire_on_commit=False)
    assert_type(maker, async_sessionmaker[AsyncSession])
    async with maker() as session, maker.begin() as begun:
        assert_type(session, AsyncSession)
        assert_type(begun, AsyncSession)
        assert_type(session.route(User), Route)
    scoped = async_scoped_session(maker, scopefunc=lambda: 1)
    assert_type(scoped(), AsyncSession)


AsyncSession()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
