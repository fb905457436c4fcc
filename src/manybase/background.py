"""Background: the jobs of a background task, each bounded in time, in greenlets or in threads of their own."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread

from sqlalchemy.util import greenlet_spawn

from manybase.concurrency import retrieve

Job = Callable[[], None]


class Jobs:
    """Each has a name, and ``seconds``. In a thread one that is late goes on, and none of its name begins meanwhile."""

    def __init__(self, seconds: float, *, asyncio: bool) -> None:
        self.seconds = seconds
        self.asyncio = asyncio
        self._threads: dict[str, aio.Future[None]] = {}

    async def run(self, name: str, job: Job) -> None:
        """Raises what the job raises, ``TimeoutError`` where it is late, or an earlier one of its name still is."""
        async with aio.timeout(self.seconds):
            if self.asyncio:
                await greenlet_spawn(job)
                return
            if name in self._threads and not self._threads[name].done():
                raise TimeoutError
            self._threads[name] = in_thread(aio.get_running_loop(), job)
            await aio.shield(self._threads[name])

    async def wait(self, patience: float) -> None:
        """For those in threads that are late."""
        if running := [each for each in self._threads.values() if not each.done()]:
            await aio.wait(running, timeout=patience)


def in_thread(loop: aio.AbstractEventLoop, job: Job) -> aio.Future[None]:
    """In a thread of its own, which ends with the job."""
    future: aio.Future[None] = loop.create_future()
    future.add_done_callback(retrieve)

    def work() -> None:
        try:
            job()
        except BaseException as error:
            end(partial(future.set_exception, error))
        else:
            end(partial(future.set_result, None))

    def end(how: Job) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(how)

    Thread(target=work, name="manybase in the background", daemon=True).start()
    return future
