"""Together: fragments of different databases at the same time, in threads or in greenlets of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any

from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import workers

Job = Callable[[], Any]


def run_together(jobs: Sequence[Job], *, asyncio: bool) -> None:
    """Run all; when all have ended, raise what the first of them raised. A cancelled task cancels them."""
    if len(jobs) == 1:
        jobs[0]()
    elif asyncio:
        await_only(gathered(jobs))
    else:
        run_in_threads(jobs)


def run_in_threads(jobs: Sequence[Job]) -> None:
    """The last one in this thread."""
    *others, mine = jobs
    futures: list[Future[Any]] = [workers().start(job) for job in others]
    try:
        mine()
    finally:
        wait(futures)  # none may still use a connection when the session goes on
    for future in futures:
        future.result()


async def gathered(jobs: Sequence[Job]) -> None:
    tasks = [asyncio.ensure_future(greenlet_spawn(job)) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
