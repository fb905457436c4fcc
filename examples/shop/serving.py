"""Serving the application from a thread, so that the tour can visit it as any client would."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from examples.shop.app import app

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A listening socket, or the end of the program where the port is taken. 0 is any free port."""
    listening = socket.socket()
    try:
        if os.name == "posix":  # else the port of a demonstration that just ended is taken for another minute
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(100)
    except OSError as error:
        listening.close()
        other = port + 1 if 1024 <= port < 65535 else 8001
        sys.exit(f"Port {port} cannot be used ({error.strerror}). Give another one: --port {other}")
    return listening


@contextmanager
def serving(listening: socket.socket) -> Iterator[Thread]:
    """The application answers on the socket, from the thread that this gives, until the block is left."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        yield thread
    finally:
        server.should_exit = True
        thread.join()
