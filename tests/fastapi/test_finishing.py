"""Finishing what has begun."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from manybase.fastapi.finishing import THREADS, finish, finished, in_thread, released_by_threads

pytestmark = pytest.mark.anyio


class Work:
    """Something that takes a while, in two steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def run(self, *, fail: bool = False) -> str:
        self.steps.append("begun")
        await asyncio.sleep(0.05)
        if fail:
            raise ZeroDivisionError
        self.steps.append("ended")
        return "result"


async def test_result() -> None:
    """It is what the work returns."""
    assert "result" == await finish(Work().run())


async def test_work_that_fails() -> None:
    """Its error is raised."""
    with pytest.raises(ZeroDivisionError):
        await finish(Work().run(fail=True))


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled(times: int) -> None:
    """The work is finished, and only then the cancellation is raised."""
    work = Work()
    task = asyncio.create_task(finish(work.run()))
    for _ in range(times):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["begun", "ended"] == work.steps


async def test_cancelled_while_the_work_fails() -> None:
    """The error says more than the cancellation."""
    task = asyncio.create_task(finish(Work().run(fail=True)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(ZeroDivisionError):
        await task


async def test_work_that_cancels_itself() -> None:
    """It is cancelled, and nobody waits for it for ever."""

    async def cancel() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await finish(cancel())


async def test_timeout_around_it() -> None:
    """`asyncio.timeout` tells of it once the work is finished."""
    work = Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await finish(work.run())

    assert ["begun", "ended"] == work.steps


async def test_waiting_for_all() -> None:
    """A shutdown waits for all that has begun, and not for ever."""
    works = [Work() for _ in range(3)]
    tasks = [asyncio.create_task(finish(work.run())) for work in works]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await finished(timeout=5)

    assert [["begun", "ended"]] * 3 == [work.steps for work in works]
    assert [True] * 3 == [
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*tasks, return_exceptions=True)
    ]
    await finished(timeout=5)


async def test_waiting_for_what_does_not_end() -> None:
    """The timeout ends the waiting, not the work."""
    event = asyncio.Event()
    task = asyncio.create_task(finish(event.wait()))
    await asyncio.sleep(0.01)
    await finished(timeout=0.05)

    assert not task.done()
    event.set()
    assert await task is True


async def test_thread_of_our_own() -> None:
    """It is there although all threads that routes use are busy."""
    release = threading.Event()
    busy = [asyncio.create_task(asyncio.to_thread(release.wait, 10)) for _ in range(10)]
    import anyio.to_thread

    limiter = anyio.to_thread.current_default_thread_limiter()
    busy += [asyncio.create_task(anyio.to_thread.run_sync(release.wait, 10)) for _ in range(int(limiter.total_tokens))]
    await asyncio.sleep(0.1)
    assert 0 == limiter.available_tokens
    try:
        async with asyncio.timeout(5):
            assert threading.main_thread() is not await in_thread(threading.current_thread)
    finally:
        release.set()
        await asyncio.gather(*busy)


async def test_more_work_than_threads() -> None:
    """Some waits, all of it is done."""
    done = await asyncio.gather(*(in_thread(lambda number: number, number) for number in range(3 * THREADS)))

    assert list(range(3 * THREADS)) == done


def hold(thing: object, release: threading.Event) -> None:
    release.wait(10)


def hold_by_name(release: threading.Event, **things: object) -> None:
    release.wait(10)


@pytest.mark.parametrize(
    "call",
    [
        lambda thing, release: partial(hold, thing, release),
        lambda thing, release: partial(hold_by_name, release, session=thing),
        lambda thing, release: partial(lambda: hold(thing, release)),
    ],
    ids=["argument", "keyword", "closure"],
)
async def test_thread_that_holds_something(call: Callable[..., Any]) -> None:
    """It is waited for until it has returned."""
    thing, release = object(), threading.Event()
    thread = threading.Thread(target=call(thing, release))
    thread.start()
    waiting = asyncio.create_task(released_by_threads(thing))
    await asyncio.sleep(0.2)
    held = not waiting.done()
    release.set()
    async with asyncio.timeout(5):
        await waiting
    thread.join()

    assert held


async def test_thread_that_holds_something_else() -> None:
    """It is not waited for."""
    release = threading.Event()
    thread = threading.Thread(target=hold, args=(object(), release))
    thread.start()
    async with asyncio.timeout(5):
        await released_by_threads(object())
    release.set()
    thread.join()
