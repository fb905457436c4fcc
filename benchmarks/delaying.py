"""A network between client and server: what either says reaches the other later. In a process of its own.

Not in ours, where it would wait for Python's lock while rows are read.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue

from sqlalchemy import URL

from benchmarks.join_ways import Places

Packets = SimpleQueue[tuple[float, bytes]]


@contextmanager
def delayed(url: URL, seconds: float) -> Iterator[URL]:
    """The same database, with ``seconds`` of delay in each direction."""
    command = [sys.executable, "-c", "from benchmarks.delaying import serve; serve()"]
    command += [str(url.host), str(url.port), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield url.set(host="127.0.0.1", port=int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


@contextmanager
def delayed_places(places: Places, seconds: float) -> Iterator[Places]:
    """The same places behind such a network; a SQLite file is behind none."""
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(delayed(url, seconds)) if url.host else url for name, url in vars(places).items()
        }
        yield Places(**urls)


def serve() -> None:
    host, port, seconds = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    while True:
        client, _ = listening.accept()
        server = socket.create_connection((host, int(port)))
        for source, target in ((client, server), (server, client)):
            target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            packets: Packets = SimpleQueue()
            threading.Thread(target=_receive, args=(source, packets, float(seconds)), daemon=True).start()
            threading.Thread(target=_send, args=(target, packets), daemon=True).start()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _receive(source: socket.socket, packets: Packets, seconds: float) -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        packets.put((time.monotonic() + seconds, data))


def _send(target: socket.socket, packets: Packets) -> None:
    with suppress(OSError):
        while True:
            due, data = packets.get()
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
