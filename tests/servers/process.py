"""One server program: started, stopped, killed and started again on the same port and data."""

import atexit
import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.account import server_account
from tests.servers.directory import PrivateDirectory


class ServerProcess:
    """A server in a private directory. It has not started yet, and it never outlives the test run."""

    def __init__(
        self, command: Sequence[str | Path], *, directory: PrivateDirectory, environment: Mapping[str, str]
    ) -> None:
        self.directory = directory
        self._command = command
        self._environment = environment
        self._popen: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        if self.running:
            return
        with open(self._log, "ab") as log:
            self._popen = server_account().popen(self._command, cwd=self.directory.path, env=self._environment, log=log)
        self.directory.watch(self._popen.pid)

    def stop(self, how: signal.Signals, *, timeout: float = 30) -> None:
        """The server is gone: by the signal, or killed if it has not obeyed in time."""
        if not self.running:
            return
        self._started.send_signal(how)
        try:
            self._started.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self.directory.unwatch()

    def kill(self) -> None:
        """The server and every process of it are gone, without a chance to say goodbye."""
        if not self.running:
            return
        children = _children(self.pid)
        self._started.kill()
        self._started.wait()
        self.directory.unwatch()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        # A PostgreSQL whose old processes still hold the shared memory refuses to start again.
        wait_until_gone(children)

    def close(self) -> None:
        """The server is gone for good, without a trace: a PostgreSQL that is killed leaves shared memory behind."""
        if not self.directory.ours:
            return
        self.stop(signal.SIGQUIT, timeout=2)
        self.directory.remove()
        atexit.unregister(self.close)

    def log_tail(self, *, lines: int = 25) -> str:
        if not self._log.exists():
            return "(no log)"
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def _log(self) -> Path:
        return self.directory.path / "server.log"

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self._command[0]} was never started.")
        return self._popen


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, below those the system gives to clients.

    A client that keeps trying to reach a killed server must not be given the server's own port as its own:
    it would connect to itself, and the server could not come back. Nor must the server of another worker of
    pytest-xdist, so each has ports of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for _ in range(1000):
        port = random.randrange(15_000 + worker % workers, 32_000, workers)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as taken:
                if taken.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise RuntimeError("No free port between 15000 and 32000 on 127.0.0.1.")


def alive(pid: int) -> bool:
    """Whether the process still runs; a dead one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _stat(pid)[:1] != ["Z"]


def wait_until_gone(pids: Sequence[int], *, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while living := [pid for pid in pids if alive(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Processes {living} are still there after {timeout} seconds.")
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    """The direct children, on Linux; elsewhere none, and PostgreSQL's notice by themselves that their parent went."""
    numbers = [int(entry.name) for entry in Path("/proc").glob("[1-9]*")]
    return [number for number in numbers if _stat(number)[1:2] == [str(pid)]]


def _stat(pid: int) -> list[str]:
    """State, parent, ... of Linux's /proc/<pid>/stat; nothing where there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return line.rpartition(")")[2].split()
