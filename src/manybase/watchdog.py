"""Watchdog: bounds how long a thread waits for a server, without a second thread that waits in its place."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from manybase.forking import reset_after_fork

LONGEST = 3600.0  # seconds of sleep: an infinite one is an error


class Watch:
    """``socket`` is a handle of its own: who closes the connection meanwhile does not hand its number to another."""

    def __init__(self, fileno: int, timeout: float) -> None:
        self.socket = socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM)  # of any family: it is only shut down
        self.deadline = time.monotonic() + timeout
        self.expired = False

    def cut(self) -> None:
        """Whoever waits for an answer on it finds the connection closed."""
        self.expired = True
        with suppress(OSError):  # the other side was faster
            self.socket.shutdown(socket.SHUT_RDWR)


def watch_on(fileno: int, timeout: float) -> Watch | None:
    """None where no handle can be had: the connection is closed by now, or too many files are open."""
    try:
        return Watch(fileno, timeout)
    except OSError:
        return None


class Watchdog:
    """One thread for all that is watched, which sleeps until the first deadline and ends when nothing is left."""

    def __init__(self) -> None:
        self.forget_connections()
        reset_after_fork(self)

    def forget_connections(self) -> None:
        """In a forked child: its parent's thread is not here."""
        self._changed = threading.Condition()
        self._watched: set[Watch] = set()
        self._wakes: float | None = None  # when the thread looks next; None: there is none

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[None]:
        """Inside, the socket is shut down for both sides once its time is up; on leaving, the watch is over."""
        try:
            self._add(watch)
            yield
        finally:
            with self._changed:
                self._watched.discard(watch)
            watch.socket.close()

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watched.add(watch)
            if self._wakes is not None:
                if watch.deadline < self._wakes:
                    self._changed.notify()
                return
            with suppress(RuntimeError):  # no more threads, or the interpreter ends: then nothing bounds it
                threading.Thread(target=self._work, name="manybase watchdog", daemon=True).start()
                self._wakes = watch.deadline

    def _work(self) -> None:
        with self._changed:
            while self._watched:
                now = time.monotonic()
                for each in [each for each in self._watched if each.deadline <= now]:
                    self._watched.discard(each)
                    each.cut()
                if self._watched:
                    self._wakes = min(each.deadline for each in self._watched)
                    self._changed.wait(min(LONGEST, max(0.0, self._wakes - now)))
            self._wakes = None


@cache
def watchdog() -> Watchdog:
    return Watchdog()
