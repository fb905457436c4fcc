"""A proxy between client and server that loses one answer, or one question, exactly where a test wants it."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import URL

Loses = Literal["question", "answer"]
PREPARE = rb"PREPARE TRANSACTION|XA PREPARE"
COMMIT = rb"(?s)THEN 'commit' END.*(?<![A-Z])COMMIT"  # the one that follows the decision, in the same connection
FINISH = rb"COMMIT PREPARED|XA COMMIT"


@dataclass(frozen=True)
class Trap:
    """The packet that completes what matches is lost, or the answer to it; then the connection is closed."""

    pattern: re.Pattern[bytes]
    loses: Loses
    then: Callable[[], object]


class Proxy:
    """Listens on a port of its own. ``open``: whether it lets new connections through."""

    def __init__(self, url: URL) -> None:
        self._target = (url.host, url.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.open = True
        self.sprung = threading.Event()
        self._trap: Trap | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def set_trap(self, pattern: bytes, loses: Loses, then: Callable[[], object] = lambda: None) -> None:
        self.sprung.clear()
        self._trap = Trap(re.compile(pattern), loses, then)

    def close(self) -> None:
        self._listener.close()

    def refuse(self) -> None:
        self.open = False

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                if self.open:
                    threading.Thread(target=self._connect, args=(client,), daemon=True).start()
                else:
                    client.close()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            silent = threading.Event()
            back = threading.Thread(target=self._answers, args=(server, client, silent), daemon=True)
            back.start()
            said = b""
            with suppress(OSError):
                while data := client.recv(65536):
                    said += data
                    trap = self._sprung_by(said)
                    if trap is None:
                        server.sendall(data)
                    elif trap.loses == "question":
                        self._end(client, server, trap)
                        break
                    else:
                        self._lose_answer_to(data, client, server, silent, trap, back)
                        break
            end(client, server)
            back.join()

    def _lose_answer_to(
        self,
        data: bytes,
        client: socket.socket,
        server: socket.socket,
        silent: threading.Event,
        trap: Trap,
        back: threading.Thread,
    ) -> None:
        silent.set()
        server.sendall(data)
        back.join(20)  # ends with the first answer
        self._end(client, server, trap)

    def _answers(self, server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if silent.is_set():
                    return
                client.sendall(data)
            end(client)

    def _sprung_by(self, said: bytes) -> Trap | None:
        with self._lock:
            trap = self._trap
            if trap is None or not trap.pattern.search(said):
                return None
            self._trap = None
            return trap

    def _end(self, client: socket.socket, server: socket.socket, trap: Trap) -> None:
        trap.then()
        end(client, server)
        self.sprung.set()


def end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(url: URL) -> Iterator[Proxy]:
    made = Proxy(url)
    try:
        yield made
    finally:
        made.close()
