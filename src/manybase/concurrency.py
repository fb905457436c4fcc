"""Several things at once, to their end: in threads, or in greenlets of the running event loop.

Neither a cancelled task nor Ctrl-C cuts them short; ``Uninterrupted`` raises what came meanwhile, afterwards.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread, main_thread
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from manybase.forking import reset_after_fork
from manybase.watchdog import Watch, watch_on, watchdog

T = TypeVar("T")
Job = Callable[[], T]
IDLE = 30  # seconds that a thread waits for more work
LOOK = 0.2  # seconds: Python hears of Ctrl-C between two looks, and not always while it waits


class Late(TimeoutError):
    """A job has not ended in time, and still runs in its thread; ``job`` tells when it has."""

    def __init__(self, job: Future[Any]) -> None:
        super().__init__()
        self.job = job


class Uninterrupted:
    """Runs jobs to their end. What would have interrupted them is kept, for whoever is responsible to raise later."""

    def __init__(self, *, asyncio: bool) -> None:
        self.asyncio = asyncio
        self.interruption: BaseException | None = None

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Inside, signals wait whose handlers may raise at any moment, as that of Ctrl-C does; they are kept too."""
        came: list[Callable[[], Any]] = []
        handlers = {} if self.asyncio else handlers_here()
        for number, handler in handlers.items():
            signal.signal(number, lambda *arguments, handler=handler: came.append(partial(handler, *arguments)))
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for handle in came:
                try:
                    handle()
                except BaseException as error:
                    self.interruption = error

    def run(self, jobs: Sequence[Job[T]], timeout: float, *, socket: int | None = None) -> list[T | BaseException]:
        """What each job returned or raised; ``TimeoutError`` for one that has not ended after ``timeout`` seconds.

        Such a job goes on in the background; what it works with must not be used any more. In threads it is ``Late``.
        ``socket``: the only one for which the last job waits, as a file descriptor. In threads, that job then runs in
        this one, which is faster, and the socket is shut down when time is up.
        """
        if not jobs:
            return []
        return self._in_greenlets(jobs, timeout) if self.asyncio else self._in_threads(jobs, timeout, socket)

    def run_one(self, job: Job[T], timeout: float) -> T:
        """As ``run``, for a single job, whose error is raised."""
        (ended,) = self.run([job], timeout)
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def _in_threads(self, jobs: Sequence[Job[T]], timeout: float, socket: int | None) -> list[T | BaseException]:
        deadline = time.monotonic() + timeout
        watch = None if socket is None else watch_on(socket, timeout)
        futures = [workers().start(job) for job in (jobs if watch is None else jobs[:-1])]
        here = [] if watch is None else [self._here(jobs[-1], watch)]
        return [ended for future in futures for ended in (self._ended(future, deadline),)] + here

    def _here(self, job: Job[T], watch: Watch) -> T | BaseException:
        ended: T | BaseException
        with watchdog().watching(watch):
            try:
                ended = job()
            except BaseException as error:
                if not isinstance(error, Exception):
                    self.interruption = error
                ended = error
        return TimeoutError() if watch.expired else ended

    def _ended(self, future: Future[T], deadline: float) -> T | BaseException:
        while True:
            try:
                error = future.exception(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return Late(future)
            except BaseException as error:  # Ctrl-C, or what another signal's handler raises
                self.interruption = error
            else:
                return future.result() if error is None else error

    def _in_greenlets(self, jobs: Sequence[Job[T]], timeout: float) -> list[T | BaseException]:
        tasks: list[asyncio.Future[T]] = [asyncio.ensure_future(greenlet_spawn(job)) for job in jobs]
        waiting = asyncio.ensure_future(asyncio.wait(tasks, timeout=timeout))
        while not waiting.done():
            try:
                await_only(asyncio.wait([waiting]))
            except (asyncio.CancelledError, KeyboardInterrupt) as error:
                self.interruption = error
        return [ended for task in tasks for ended in (outcome_of(task),)]


def handlers_here() -> dict[int, Callable[..., Any]]:
    """What Python runs in this thread when a signal comes that asks a program to stop."""
    if current_thread() is not main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {number: handler for number, handler in found.items() if callable(handler)}


def outcome_of(task: asyncio.Future[T]) -> T | BaseException:
    if not task.done():
        task.add_done_callback(retrieve)
        task.cancel()
        return TimeoutError()
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    return task.result() if error is None else error


def retrieve(task: asyncio.Future[Any]) -> None:
    """Else asyncio complains that nobody looked at its error."""
    if not task.cancelled():
        task.exception()


async def to_the_end(work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
    """Await ``work`` to its end, even if this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


class Workers:
    """Threads that wait for work, as many as there is work; the interpreter does not wait for them at its end."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.forget_connections()
        reset_after_fork(self)

    def forget_connections(self) -> None:
        """In a forked child: its parent's threads are not here."""
        self._queue: SimpleQueue[tuple[Future[Any], Job[Any]]] = SimpleQueue()
        self._idle = 0
        self._lock = Lock()

    def start(self, job: Job[T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            self._idle -= 1  # before put(): Ctrl-C in between then leaves an idle thread, not a job of nobody's
            missing = self._idle < 0
            if missing:
                self._idle = 0
            self._queue.put((future, job))
        if missing:
            try:
                Thread(target=self._work, name="manybase", daemon=True).start()
            except RuntimeError:  # no more threads, or the interpreter ends: then here, where nothing bounds it
                self._do_next()
        return future

    def _do_next(self) -> None:
        try:
            future, job = self._queue.get_nowait()
        except Empty:  # a thread that was busy has taken it
            with self._lock:
                self._idle -= 1
        else:
            do(future, job)

    def _work(self) -> None:
        while True:
            try:
                future, job = self._queue.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._queue.empty() and self._idle > 0:
                        self._idle -= 1
                        return
                continue
            do(future, job)
            del future, job
            with self._lock:
                self._idle += 1


def do(future: Future[Any], job: Job[Any]) -> None:
    try:
        result = job()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


@cache
def workers() -> Workers:
    return Workers()
