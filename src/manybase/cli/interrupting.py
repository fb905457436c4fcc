"""Interrupting: what Ctrl-C does to migrations that are under way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130


class Stopping(threading.Event):
    """Somebody asked to stop: when that is set, whoever sets it, ``told`` is called."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self.told = told

    def set(self) -> None:
        super().set()
        self.told()


@contextmanager
def interruptible(stopping: threading.Event, leave: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C asks to stop between two revisions; the second calls ``leave``, and ends the process at once.

    An exception, as Python raises one, would come in the middle of anything.
    """

    def interrupt(*_: Any) -> None:
        if stopping.is_set():
            leave()
            os._exit(INTERRUPTED)
        stopping.set()

    with handling(interrupt):
        yield


@contextmanager
def handling(handler: Any) -> Iterator[None]:
    """Within, this is what Ctrl-C calls. Only the main thread has a say in that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupting() -> Iterator[None]:
    """Within, Ctrl-C raises, for we wait for somebody to answer."""
    with handling(signal.default_int_handler):
        yield
