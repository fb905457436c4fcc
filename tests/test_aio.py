"""What only an AsyncSession has; everything else runs in the tests of the session, for both kinds."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import async_object_session
from sqlalchemy.orm import selectinload

from manybase import AsyncSession, Databases, Session
from tests.sessions import run_async, statements, where
from tests.shop import Admin, Entry, Event, User, ann


def test_awaited_calls(databases: Databases) -> None:
    """add, flush, commit, execute, scalars, scalar, get, refresh, merge and delete over two databases."""

    async def body(session: AsyncSession) -> list[Any]:
        session.add(ann())
        await session.flush()
        await session.commit()
        await session.merge(Event(id=1, kind="seen"))
        await session.execute(insert(Entry).values(what="hello"))
        event = await session.get_one(Event, 2)
        await session.delete(event)
        await session.commit()
        await session.refresh(user := await session.get_one(User, 1), ["events"])
        kinds = [event.kind for event in user.events]
        return [*kinds, await session.scalar(select(Entry.what)), (await session.scalars(select(User.name))).all()]

    assert ["seen", "hello", ["ann"]] == run_async(databases, body)


def test_stream(databases: Databases) -> None:
    """stream() and stream_scalars() read from two databases in turn."""

    async def body(session: AsyncSession) -> list[Any]:
        session.add(ann())
        await session.commit()
        kinds = [event.kind async for event in await session.stream_scalars(select(Event).order_by(Event.id))]
        result = await session.stream(select(User.name), execution_options={"yield_per": 10})
        parts = [part async for part in result.partitions(5)]
        return [*kinds, len(parts)]

    assert ["view", "buy", 1] == run_async(databases, body)


def test_stream_that_stops_early(databases: Databases) -> None:
    """The connection goes back to its pool."""

    async def body(session: AsyncSession) -> int:
        await session.execute(insert(Entry), [{"what": str(number)} for number in range(50)])
        async for entry in await session.stream_scalars(select(Entry).execution_options(yield_per=5)):
            return entry.id
        raise AssertionError

    assert 1 == run_async(databases, body)


def test_stream_of_text_that_is_told_its_database(databases: Databases) -> None:
    """bind_arguments reach stream() too."""

    async def body(session: AsyncSession) -> list[int]:
        result = await session.stream(text("SELECT 1"), bind_arguments={"database": "audit"})
        return [row[0] async for row in result]

    assert [1] == run_async(databases, body)


def test_connection(databases: Databases) -> None:
    """An AsyncConnection of the database that is named."""

    async def body(session: AsyncSession) -> Any:
        connection = await session.connection(bind_arguments={"database": "audit"})
        await connection.execute(insert(Entry.__table__).values(what="hello"))
        return await session.scalar(select(Entry.what))

    assert "hello" == run_async(databases, body)


async def fail_after_writing(session: AsyncSession) -> None:
    async with session.begin():
        session.add(Event(kind="view"))
        await session.flush()
        raise ZeroDivisionError


def test_transactions(databases: Databases) -> None:
    """begin() commits both databases or neither; begin_nested() is a savepoint in both."""

    async def body(session: AsyncSession) -> int | None:
        async with session.begin():
            session.add(User(name="ann"))
            inner = await session.begin_nested()
            session.add(Event(kind="view"))
            await inner.rollback()
        with pytest.raises(ZeroDivisionError):
            await fail_after_writing(session)
        return await session.scalar(select(func.count(Event.id)))

    assert 0 == run_async(databases, body)


def test_route(databases: Databases) -> None:
    """It is not awaited: nothing runs."""

    async def body(session: AsyncSession) -> list[str]:
        join = session.route(select(User).join(User.events))
        return [join.database, session.route(User).database, session.route(text("SELECT 1"), database="audit").database]

    assert ["analytics + shop", "shop", "audit"] == run_async(databases, body)


def test_pinned_session(databases: Databases) -> None:
    """text() goes there."""

    async def body(session: AsyncSession) -> list[Any]:
        with statements(databases) as ran:
            await session.execute(text("SELECT 1"))
        return where(ran)

    assert ["analytics"] == run_async(databases, body, database="analytics")


def test_sync_session_class_of_the_users_own(databases: Databases) -> None:
    """A subclass brings its own sync session, and run_sync gives it."""

    class Mine(Session):
        def names(self) -> list[str]:
            return list(self.scalars(select(User.name)))

    class MineAsync(AsyncSession):
        sync_session_class = Mine

    async def body(session: AsyncSession) -> list[str]:
        session.add(ann())
        await session.commit()
        async with MineAsync(databases) as mine:
            return await mine.run_sync(Mine.names)

    assert ["ann"] == run_async(databases, body)


def test_object_session(databases: Databases) -> None:
    """SQLAlchemy finds our async session from an object."""

    async def body(session: AsyncSession) -> bool:
        session.add(user := User(name="ann"))
        return async_object_session(user) is session

    assert run_async(databases, body)


def test_awaitable_attributes(databases: Databases) -> None:
    """awaitable_attrs loads from the other database."""

    async def body(session: AsyncSession) -> list[str]:
        session.add(ann())
        await session.commit()
        user = await session.get_one(User, 1)
        return [event.kind for event in await user.awaitable_attrs.events]

    assert ["view", "buy"] == run_async(databases, body)


def test_loading_in_one_task_per_session(databases: Databases) -> None:
    """Sessions in several tasks at once share the engines of their loop."""

    async def body(session: AsyncSession) -> list[int]:
        session.add_all([ann(), Admin(id=9, name="root", level=1)])
        await session.commit()

        async def read() -> int:
            async with AsyncSession(databases) as each:
                users = (await each.scalars(select(User).options(selectinload(User.events)))).all()
                return sum(len(user.events) for user in users)

        return list(await asyncio.gather(*(read() for _ in range(20))))

    assert [2] * 20 == run_async(databases, body)


def test_two_event_loops(databases: Databases) -> None:
    """Each loop has engines of its own, on the same databases."""

    async def write(session: AsyncSession) -> None:
        session.add(User(name="ann"))
        await session.commit()

    async def read(session: AsyncSession) -> Any:
        return await session.scalar(select(User.name))

    run_async(databases, write)

    assert "ann" == run_async(databases, read)
