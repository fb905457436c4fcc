"""Terminals: a program of its own, as somebody who types sees it."""

import fcntl
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60  # seconds of silence
CTRL_C = "\x03"


@dataclass
class Terminal:
    descriptor: int
    process: "subprocess.Popen[bytes]"
    text: str = ""

    def until(self, wanted: str) -> str:
        """What has been shown when this is there for the first time."""
        while wanted not in self.text and self._read():
            pass
        assert wanted in self.text, self.text
        return self.text

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], PATIENCE)
        assert ready, f"Nothing more is shown after: {self.text}"
        try:
            read = os.read(self.descriptor, 65_536)
        except OSError:  # nobody has it open any more
            return False
        self.text += read.decode(errors="replace")
        return bool(read)


@contextmanager
def on_terminal(command: Sequence[str], folder: Path, **environment: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "160", **environment}
    with os.fdopen(ours, "rb+", buffering=0) as master:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=variables,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # else Ctrl-C would reach nobody
        )
        os.close(theirs)
        try:
            yield Terminal(master.fileno(), process)
        finally:
            process.kill()
            process.wait()
