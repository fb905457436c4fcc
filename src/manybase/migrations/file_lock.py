"""File lock: a file next to a SQLite file, locked by the system for the process that has it open.

The kernel frees it when the process ends, in whatever way. The file stays: whoever deleted it could do so between
another's opening and locking it, and a third would lock a new file of that name at the same time.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection, Engine

from manybase.errors import MigrationFailed
from manybase.participants import is_volatile
from manybase.sharing import send

FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
LONGEST = 200  # bytes that are read of what a holder wrote

if sys.platform == "win32":
    import msvcrt

    BEHIND = 1 << 30  # nobody else may read the locked byte, so it is none of those that say who has the lock

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        os.lseek(descriptor, BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        os.lseek(descriptor, BEHIND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def path_for(engine: Engine, scope: str) -> str | None:
    """Where the lock of a SQLite database is; None: it is in memory, and nobody else's."""
    if is_volatile(engine.url):  # its one connection may be in the middle of something
        return None
    with engine.connect() as connection:
        return path_beside(connection, scope)


def path_beside(connection: Connection, scope: str) -> str | None:
    # Asked of SQLite, which knows what a relative path or a file: URI has become.
    files = [file for _, schema, file in send(connection, "PRAGMA database_list") if schema == "main"]
    if not files or not files[0]:
        return None
    suffix = f".{sha256(scope.encode()).hexdigest()[:16]}" if scope else ""
    return f"{os.path.realpath(files[0])}{suffix}.migrating"


@contextmanager
def opened(path: str, database: str) -> Iterator[int]:
    """The lock file, as a descriptor of its own: two threads of one process exclude each other too."""
    with explained(path, database):
        descriptor = os.open(path, FLAGS, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def take(descriptor: int, path: str, database: str) -> bool:
    """Whether it is ours now. Never waits."""
    with explained(path, database):
        if not try_lock(descriptor):
            return False
        now = datetime.now(UTC)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC".encode())
        return True


def give(descriptor: int) -> None:
    """Free it, in a forked child that still has it open too."""
    os.ftruncate(descriptor, 0)
    unlock(descriptor)


def holder(path: str) -> str | None:
    """What the holder wrote; None: nobody has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if try_lock(descriptor, shared=True):  # for a moment, in which another could not take it
            unlock(descriptor)
            return None
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, LONGEST).decode(errors="replace") or "another process"
    except OSError:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: str, database: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationFailed(
            database,
            f"Its lock, the file {path}, cannot be taken: {error.strerror}. Nothing was changed. Whoever migrates "
            "needs the right to write there, on a file system that has locks.",
        ) from error
