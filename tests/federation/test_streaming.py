"""What only an AsyncSession has: streams over several databases."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from manybase import AsyncSession
from tests.federation.comparing import different, told
from tests.federation.judging import expected_warnings
from tests.federation.models import Event, User
from tests.federation.worlds import ALONE, WORLDS, Places, World, ask_oracle, params

pytestmark = expected_warnings
pairs = select(User.id, Event).join(Event, Event.user_id == User.id).order_by(Event.id)
users = select(User).join(User.events).order_by(User.id, Event.id)


async def stream(session: AsyncSession) -> list[Any]:
    return [row async for row in await session.stream(pairs)]


async def stream_with_yield_per(session: AsyncSession) -> list[Any]:
    return [row async for row in await session.stream(pairs, execution_options={"yield_per": 7})]


async def partitions(session: AsyncSession) -> list[Any]:
    return [row async for part in (await session.stream(pairs)).partitions(9) for row in part]


async def execute(session: AsyncSession) -> list[Any]:
    return list((await session.execute(pairs)).all())


STREAMS: dict[str, Callable[[AsyncSession], Awaitable[list[Any]]]] = {
    each.__name__: each for each in (stream, stream_with_yield_per, partitions, execute)
}
every_world = pytest.mark.parametrize(("world", "asyncio"), params([*WORLDS, ALONE[-1]], True))


@every_world
@pytest.mark.parametrize("name", STREAMS)
def test_stream(places: Places, world: World, asyncio: bool, name: str) -> None:
    """The rows of one database, in its order."""
    right = ask_oracle(places.oracle(world.oracle), lambda session: told(session.execute(pairs).all(), home=world.home))

    async def body(session: AsyncSession) -> Any:
        return told(await STREAMS[name](session))

    assert None is different(right, places.running(world, asyncio=asyncio).run_async(body))


@every_world
def test_stream_of_entities(places: Places, world: World, asyncio: bool) -> None:
    """Each comes once, however many rows it has."""
    engine = places.oracle(world.oracle)
    right = ask_oracle(engine, lambda session: [user.id for user in session.scalars(users).unique()])

    async def body(session: AsyncSession) -> list[int]:
        return [user.id async for user in (await session.stream_scalars(users)).unique()]

    assert right == places.running(world, asyncio=asyncio).run_async(body)


@every_world
def test_stream_that_is_left(places: Places, world: World, asyncio: bool) -> None:
    """Its connections are free again for the next one."""

    async def body(session: AsyncSession) -> tuple[Any, int]:
        result = await session.stream(pairs, execution_options={"yield_per": 5})
        first = (await result.fetchone())[0]
        await result.close()
        return first, len((await session.execute(pairs)).all())

    first, count = places.running(world, asyncio=asyncio).run_async(body)
    rows = ask_oracle(places.oracle(world.oracle), lambda session: session.execute(pairs).all())

    assert (rows[0][0], len(rows)) == (first, count)
