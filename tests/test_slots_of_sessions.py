"""Sessions over small pools: they wait in bounded time, and never for each other in a circle."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from manybase import AsyncSession, Databases, Overloaded, Session
from tests.sessions import assert_idle
from tests.shop import in_files

ONE = text("SELECT 1")
SMALL = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 20}


@pytest.fixture
def small(tmp_path: Path) -> Databases:
    """Two connections per database."""
    return in_files(tmp_path, engine_options=SMALL, pool_timeout=20)


@pytest.fixture
def impatient(tmp_path: Path) -> Databases:
    """Two connections per database, and nobody waits long."""
    return in_files(tmp_path, engine_options=SMALL, pool_timeout=0.1)


def touch(session: Session, *names: str) -> None:
    for name in names:
        session.execute(ONE, bind_arguments={"database": name})
        time.sleep(0.001)


async def atouch(session: AsyncSession, *names: str) -> None:
    for name in names:
        await session.execute(ONE, bind_arguments={"database": name})
        await asyncio.sleep(0.001)


def ways(number: int) -> tuple[str, str]:
    return ("shop", "audit") if number % 2 else ("audit", "shop")


def test_threads_in_opposite_order(small: Databases) -> None:
    """Forty threads that touch two pools of two in opposite order all finish."""

    def work(number: int) -> int:
        with Session(small) as session:
            touch(session, *ways(number))
        return 1

    with ThreadPoolExecutor(40) as threads:
        done = sum(threads.map(work, range(200)))

    assert 200 == done
    assert_idle(small, asyncio=False)
    small.dispose()


def test_tasks_in_opposite_order(small: Databases) -> None:
    """Two hundred tasks that touch two pools of two in opposite order all finish."""

    async def work(number: int) -> int:
        async with AsyncSession(small) as session:
            await atouch(session, *ways(number))
        return 1

    async def main() -> int:
        done = sum(await asyncio.gather(*map(work, range(200))))
        assert_idle(small, asyncio=True)
        await small.adispose()
        return done

    assert 200 == asyncio.run(main())


def test_full_pools(impatient: Databases) -> None:
    """One too many is told Overloaded in time, with the databases; later there is room again."""
    sessions = [Session(impatient) for _ in range(3)]
    for session in sessions[:2]:
        touch(session, "shop")
    start = time.monotonic()
    with pytest.raises(Overloaded) as caught:
        touch(sessions[2], "shop")
    assert time.monotonic() - start < 5
    sessions[0].close()
    touch(sessions[2], "audit")
    for session in sessions:
        session.close()

    assert (("shop", "analytics", "audit"), 0.1) == (caught.value.databases, caught.value.seconds)
    assert_idle(impatient, asyncio=False)
    impatient.dispose()


def test_full_pools_under_asyncio(impatient: Databases) -> None:
    """The same, without holding the event loop."""

    async def main() -> tuple[str, ...]:
        first, second, third = (AsyncSession(impatient) for _ in range(3))
        await atouch(first, "shop")
        await atouch(second, "shop")
        with pytest.raises(Overloaded) as caught:
            await atouch(third, "shop")
        await first.close()
        await atouch(third, "audit")
        for session in (second, third):
            await session.close()
        assert_idle(impatient, asyncio=True)
        await impatient.adispose()
        return caught.value.databases

    assert ("shop", "analytics", "audit") == asyncio.run(main())


@pytest.mark.parametrize(
    "end",
    [Session.commit, Session.rollback, Session.close, Session.reset, Session.invalidate],
    ids=lambda end: end.__name__,
)
def test_end_of_a_transaction(impatient: Databases, end: Callable[[Session], None]) -> None:
    """Its place is free, though the session lives on."""
    session = Session(impatient)
    touch(session, "shop", "audit")
    end(session)

    assert_idle(impatient, asyncio=False)
    session.close()
    impatient.dispose()


def test_session_that_is_dropped(impatient: Databases) -> None:
    """Without close() its place comes back with the garbage."""
    session = Session(impatient)
    touch(session, "shop")
    del session
    gc.collect()
    kept = [Session(impatient) for _ in range(2)]
    for each in kept:
        touch(each, "shop")
        each.close()

    impatient.dispose()


def test_session_that_only_asks_for_an_engine(impatient: Databases) -> None:
    """close() gives back the place that get_bind() took; the attribute `bind` takes none."""
    session = Session(impatient, database="shop")
    assert session.bind is not None
    everywhere = Session(impatient)
    everywhere.get_bind(clause=ONE, database="shop")
    everywhere.close()

    assert_idle(impatient, asyncio=False)
    impatient.dispose()


def test_pinned_sessions(small: Databases) -> None:
    """They wait for their one pool, as in SQLAlchemy, and hold up nobody elsewhere."""
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        with Session(small, database=name) as session:
            touch(session, name)
            barrier.wait(10)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, ["shop", "shop", "audit", "audit"]))

    assert_idle(small, asyncio=False)
    small.dispose()


def test_several_transactions_of_one_session(impatient: Databases) -> None:
    """Each takes its place anew; with two places two sessions never wait for each other."""
    one, two = Session(impatient), Session(impatient)
    for _ in range(5):
        touch(one, "shop")
        touch(two, "audit", "shop")
        one.commit()
        two.rollback()

    assert_idle(impatient, asyncio=False)
    impatient.dispose()
