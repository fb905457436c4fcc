"""An application behind a real uvicorn on a real socket, in a thread of this process."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import httpx2
import uvicorn
from fastapi import FastAPI

from manybase import Databases
from tests.sessions import assert_idle

T = TypeVar("T")


@dataclass
class Serving:
    """A server that answers at ``port``; its event loop runs what a test wants to happen in there."""

    port: int
    server: uvicorn.Server
    thread: Thread
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx2.Client:
        """A client that connects for each request: uvicorn ends a connection on which a request failed."""
        return httpx2.Client(base_url=self.url, timeout=30, limits=httpx2.Limits(max_keepalive_connections=0))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, run in the server's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def assert_idle(self, databases: Databases) -> None:
        """No connection of either kind is checked out and no slot is taken, at the latest in a few seconds."""
        self.run(idle(databases))

    def shut_down(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)

        assert not self.thread.is_alive()


@contextmanager
def serve(app: FastAPI, **options: Any) -> Iterator[Serving]:
    """The application, served until the block ends. ``options`` are uvicorn's."""
    loops: list[asyncio.AbstractEventLoop] = []
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **options))

    async def run(listening: socket.socket) -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve([listening])

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = Thread(target=lambda: asyncio.run(run(listening)), name="uvicorn")
        thread.start()
        port = listening.getsockname()[1]
        try:
            eventually(lambda: server.started or not thread.is_alive())
            assert server.started, "The application did not start."
            yield Serving(port, server, thread, loops[0])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "The server does not end."


def eventually(happened: Callable[[], object], *, timeout: float = 10) -> None:
    """Wait until something has happened; fail where it does not in time."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "It has not happened in time."
        time.sleep(0.01)


async def idle(databases: Databases, *, timeout: float = 5) -> None:
    """Wait until no connection is checked out and no slot is taken; fail where some stay."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            assert_idle(databases, asyncio=True)
            assert_idle(databases, asyncio=False)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)
