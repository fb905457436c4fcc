"""A relay in front of a server that counts round trips: how often the client speaks after the server has."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from sqlalchemy import URL


class Counting:
    def __init__(self, url: URL) -> None:
        assert url.host is not None
        assert url.port is not None
        self._server = (url.host, url.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = url.set(host="127.0.0.1", port=self._listening.getsockname()[1])
        self.round_trips = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            spoken: list[str] = [""]
            for source, target, who in ((client, server, "client"), (server, client, "server")):
                threading.Thread(target=self._relay, args=(source, target, who, spoken), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, who: str, last: list[str]) -> None:
        with source, target:
            while data := receive(source):
                if who == "client" and last[0] != "client":
                    self.round_trips += 1
                last[0] = who
                try:
                    target.sendall(data)
                except OSError:
                    return


def receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""
