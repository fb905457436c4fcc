"""A temporary directory that goes, together with the server that lives in it, however the test run ends."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.account import server_account

# The run holds the only writing end of the guard's input. When the run ends, kill -9 included, the guard reads
# end-of-file, ends the server it was told of last, and removes the directory. PR_SET_PDEATHSIG would not do: it
# fires when the *thread* that started the server ends, and only Linux has it. SIGQUIT comes first, for a killed
# PostgreSQL leaves its System V shared memory behind. `rm` may have to try again while processes go.
GUARD = """
while read -r word; do [ "$word" = remove ] && break; server=$word; done
case "$server" in [1-9]*)
    kill -QUIT "$server" 2>/dev/null
    for attempt in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$server" 2>/dev/null || break; sleep 0.2; done
    kill -KILL "$server" 2>/dev/null
esac
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && break; sleep 0.2; done
"""


IN_MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30


def for_data() -> Path:
    """Memory where there is plenty, else TMPDIR: a fresh database is some 300 small files, ten times faster there."""
    if "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ENOUGH:
        return IN_MEMORY
    return for_programs()


def for_programs() -> Path:
    """Not memory, where often nothing may be executed; not a directory of root's that the servers cannot enter."""
    folder = Path(tempfile.gettempdir())
    return folder if server_account().can_execute(folder) else Path("/tmp")


class PrivateDirectory:
    """A fresh directory owned by the servers' account; `remove` takes it away, and so does the end of this process."""

    def __init__(self, name: str, *, inside: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"manybase-{name}-", dir=inside))
        server_account().own(self.path)
        self._owner = os.getpid()
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "manybase-guard", self.path],
            cwd="/",
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.remove)

    def watch(self, pid: int) -> None:
        """From now on the guard kills this process when the run ends."""
        self._tell(str(pid))

    def unwatch(self) -> None:
        """Call it as soon as the process is gone: its number may come back as somebody else's."""
        self._tell("none")

    @property
    def ours(self) -> bool:
        """A fork of the run must not take its servers away."""
        return os.getpid() == self._owner

    def remove(self) -> None:
        if self._guard.returncode is not None or not self.ours:
            return
        # Said in a word, for end-of-file does not come while a fork of the run still holds the pipe.
        self._tell("remove")
        self._guard.communicate()
        atexit.unregister(self.remove)

    def _tell(self, word: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{word}\n".encode())
        self._guard.stdin.flush()
