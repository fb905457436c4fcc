"""The operating system account that servers run under: this one, or an unprivileged one when this is root."""

import functools
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, kw_only=True)
class Account:
    """Starts programs as a user that PostgreSQL accepts; nothing changes for an ordinary user."""

    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> str:
        """What the program printed; if it fails, an error that shows it."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            user=self.uid,
            group=self.gid,
            extra_groups=self._groups,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout

    def popen(
        self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """The running program, in a session of its own: Ctrl-C in the terminal is for the tests, not for the server."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=self._groups,
        )

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_execute(self, program: Path) -> bool:
        """Root's home is closed to others, and a virtual environment in it as well."""
        test = ["test", "-x", str(program)]
        done = subprocess.run(test, cwd="/", user=self.uid, group=self.gid, extra_groups=self._groups)
        return done.returncode == 0

    @property
    def _groups(self) -> list[int] | None:
        return None if self.uid is None else []


@functools.cache
def server_account() -> Account:
    if os.geteuid() != 0:
        return Account()
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
