"""Restarts: servers that go away without a word every few seconds, and come back."""

import random
import threading
import time
from collections.abc import Sequence

from tests.servers.postgresql import PostgreSQL
from tests.servers.server import Server

AWAY = (0, 0, 1)  # seconds; the longest is longer than some workers wait to hear what was decided


class Restarts:
    """In the background, inside its block: one server at a time, each way of dying in turn at random."""

    def __init__(self, servers: Sequence[Server], *, every: float) -> None:
        self.count = 0
        self._servers = servers
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restarts")
        self._failure: BaseException | None = None

    def __enter__(self) -> "Restarts":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._over.wait(random.uniform(0.5, 1.5) * self._every):
                restart(random.choice(self._servers))
                self.count += 1
        except BaseException as error:
            self._failure = error


class NoRestarts:
    """Nothing happens to the servers."""

    count = 0

    def __enter__(self) -> "NoRestarts":
        return self

    def __exit__(self, *_: object) -> None: ...


def restart(server: Server) -> None:
    if isinstance(server, PostgreSQL) and random.random() < 0.5:
        server.stop(server.immediate)  # its processes go at once; the next start recovers
    else:
        server.kill()
    time.sleep(random.choice(AWAY))
    server.start()
