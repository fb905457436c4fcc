"""Several things at once, to their end."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import Uninterrupted, Workers, to_the_end
from tests.forks import in_child


def run_sync(body: Callable[[Uninterrupted], Any]) -> Any:
    return body(Uninterrupted(asyncio=False))


def run_async(body: Callable[[Uninterrupted], Any]) -> Any:
    return asyncio.run(greenlet_spawn(body, Uninterrupted(asyncio=True)))


both = pytest.mark.parametrize("run", [run_sync, run_async])


def pause(steps: Uninterrupted, seconds: float) -> None:
    if steps.asyncio:
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


@both
def test_results_and_errors(run: Callable[..., Any]) -> None:
    """Each job's own, in the order of the jobs."""

    def fail() -> int:
        raise ValueError("no")

    one, error, three = run(lambda steps: steps.run([lambda: 1, fail, lambda: 3], 5))

    assert (1, 3) == (one, three)
    assert isinstance(error, ValueError)


@both
def test_at_once(run: Callable[..., Any]) -> None:
    """Jobs that wait for each other all end."""

    def body(steps: Uninterrupted) -> list[Any]:
        arrived: set[int] = set()

        def meet(number: int) -> bool:
            arrived.add(number)
            while len(arrived) < 3:
                pause(steps, 0.001)
            return True

        return steps.run([lambda number=number: meet(number) for number in range(3)], 10)

    assert [True, True, True] == run(body)


@both
def test_no_job(run: Callable[..., Any]) -> None:
    assert [] == run(lambda steps: steps.run([], 10))


@both
def test_job_that_takes_too_long(run: Callable[..., Any]) -> None:
    """It counts as timed out; the others have their results."""
    late, quick = run(lambda steps: steps.run([lambda: pause(steps, 1), lambda: 2], 0.05))

    assert isinstance(late, TimeoutError)
    assert 2 == quick


def test_ctrl_c() -> None:
    """The job ends all the same, and the interruption is kept for later."""

    def body(steps: Uninterrupted) -> list[Any]:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        return [*steps.run([lambda: time.sleep(0.3) or "ended"], 5), type(steps.interruption)]

    assert ["ended", KeyboardInterrupt] == run_sync(body)


def test_cancelled_task() -> None:
    """The job ends all the same, and the cancellation is kept for later."""
    steps = Uninterrupted(asyncio=True)

    async def main() -> Any:
        task = asyncio.create_task(greenlet_spawn(steps.run, [lambda: pause(steps, 0.2) or "ended"], 5))
        await asyncio.sleep(0.05)
        task.cancel()
        return await task

    assert ["ended"] == asyncio.run(main())
    assert isinstance(steps.interruption, asyncio.CancelledError)


def test_forked_child() -> None:
    """It has threads of its own."""
    parent = Uninterrupted(asyncio=False)
    parent.run([lambda: 1, lambda: 2], 5)

    assert "[3, 4]" == in_child(lambda: Uninterrupted(asyncio=False).run([lambda: 3, lambda: 4], 5))


def test_many_jobs_again_and_again() -> None:
    """Threads are used again: there are never more than there were jobs at once."""
    steps = Uninterrupted(asyncio=False)
    before = threading.active_count()
    for _ in range(200):
        assert [0, 1, 2] == steps.run([lambda: 0, lambda: 1, lambda: 2], 5)

    assert threading.active_count() <= before + 4


def test_work_to_the_end() -> None:
    """A cancelled task waits for it, and is cancelled then."""
    ended: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.1)
        ended.append("ended")

    async def main() -> None:
        task = asyncio.create_task(to_the_end(work()))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ["ended"] == ended


def test_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job runs here, unless a thread that was busy takes it; and the next one finds threads again."""
    workers = Workers()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert threading.get_ident() == workers.start(threading.get_ident).result(5)
        with patched.context() as inner:
            inner.setattr(workers, "_queue", Taken())
            taken = workers.start(lambda: 1)
        assert not taken.done()

    assert threading.get_ident() != workers.start(threading.get_ident).result(5)


class Taken(SimpleQueue[Any]):
    """Somebody has always taken what is put into it."""

    def put(self, *_: Any, **__: Any) -> None: ...
