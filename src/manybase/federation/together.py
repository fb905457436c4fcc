"""Together: fragments of different databases at the same time, in threads or in greenlets of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import workers
from manybase.watchdog import watch_on, watchdog
from manybase.wire import socket_of

Job = Callable[[], Any]


def run_together(jobs: Sequence[Job], here: Sequence[Job], timeout: float, *, asyncio: bool) -> None:
    """Run all; when all have ended, raise what the first of them raised. A cancelled task cancels them.

    Those that are to run ``here`` do not leave this thread.

    Under asyncio, ``TimeoutError`` after so many seconds; in threads whoever runs a job bounds it, see ``bounded``.
    """
    if asyncio:
        await_only(gathered([*jobs, *here], timeout))
    elif not here:
        run_in_threads(jobs[:-1], jobs[-1:])
    else:
        run_in_threads(jobs, here)


@contextmanager
def bounded(connection: Connection, timeout: float) -> Iterator[None]:
    """``TimeoutError`` where what is inside waits longer for a server, whose connection is then closed.

    Only where the driver tells its socket; an event loop has means of its own.
    """
    number = None if connection.dialect.is_async else socket_of(connection)
    watch = None if number is None else watch_on(number, timeout)
    if watch is None:
        yield
        return
    cancel = canceller(connection.connection.driver_connection)
    with watchdog().watching(watch):
        try:
            yield
        except Exception as error:
            if watch.expired:
                with suppress(Exception):  # else the server goes on until it has something to say
                    cancel()
                raise TimeoutError from error
            raise


def canceller(driver: Any) -> Callable[[], None]:
    """What tells the server to end what runs on a connection, also when that is closed by then."""
    low: Any = getattr(driver, "pgconn", None)
    cancel: Callable[[], None] = driver.cancel if low is None else low.get_cancel().cancel
    return cancel


def run_in_threads(jobs: Sequence[Job], here: Sequence[Job]) -> None:
    futures: list[Future[Any]] = [workers().start(job) for job in jobs]
    try:
        for job in here:
            job()
    finally:
        wait(futures)  # none may still use a connection when the session goes on
    for future in futures:
        future.result()


async def gathered(jobs: Sequence[Job], timeout: float) -> None:
    tasks = [asyncio.ensure_future(greenlet_spawn(job)) for job in jobs]
    try:
        async with asyncio.timeout(max(0.0, timeout)):
            await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
