"""Ledger: what clients were told about their units, in a file that outlives whoever writes it."""

import asyncio
import os
import traceback
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from manybase import InDoubtError, PartialCommitError
from manybase.errors import NotCommitted


class Told(Enum):
    """What the client of one unit knows; of a worker that was killed meanwhile, it knows nothing."""

    COMMITTED = "C"
    REFUSED = "A"
    IN_DOUBT = "I"
    EARLY = "E"  # failed before the commit
    CANCELLED = "X"  # in the commit, either may be right
    CANCELLED_COMMITTED = "Y"  # and the error says how it ended
    CANCELLED_REFUSED = "N"
    TORN = "P"  # never
    STRANGE = "U"  # an error that a commit should not raise

    @property
    def everywhere(self) -> bool:
        return self in (Told.COMMITTED, Told.CANCELLED_COMMITTED)

    @property
    def nowhere(self) -> bool:
        return self in (Told.REFUSED, Told.EARLY, Told.CANCELLED_REFUSED)


@dataclass(frozen=True)
class Line:
    told: Told
    number: int
    why: str


class Ledger:
    """One line at a time, appended in one system call: it is there, or it is not, whenever the writer is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def lines(path: Path) -> list[Line]:
    found = [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []
    return [Line(Told(told), int(number), why) for told, number, why in found]


class Telling:
    """Around one unit: appends what its client is told, and swallows the error that the client would get."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.told: Told | None = None
        self._ledger = ledger
        self._number = number
        self._in_commit = False

    def committing(self) -> None:
        self._in_commit = True

    def committed(self) -> None:
        self._tell(Told.COMMITTED)

    def __enter__(self) -> "Telling":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or self.told is not None:
            return isinstance(error, asyncio.CancelledError)
        if not isinstance(error, (Exception, asyncio.CancelledError)):
            return False
        self._tell(meaning(error) if self._in_commit else early(error), cause_of(error))
        if self.told in (Told.STRANGE, Told.TORN):
            traceback.print_exception(error)
        return True

    def _tell(self, told: Told, why: str = "-") -> None:
        self.told = told
        self._ledger.append(told.value, self._number, why)


# SQLAlchemy passes on what asyncpg raises while it connects.
DATABASES_OWN = (SQLAlchemyError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError)
EXPECTED = (NotCommitted, *DATABASES_OWN, asyncio.CancelledError)


def cause_of(error: BaseException) -> str:
    """On one line: its class, what it says, and where it came from."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]} <- {error.__cause__!r:.100}".replace(
        "\n", " "
    )


def early(error: BaseException) -> Told:
    return Told.EARLY if isinstance(error, EXPECTED) else Told.STRANGE


def meaning(error: BaseException) -> Told:
    """What an error of commit() says."""
    if isinstance(error, InDoubtError):
        return Told.IN_DOUBT
    if isinstance(error, PartialCommitError):
        return Told.TORN
    if isinstance(error, asyncio.CancelledError):
        notes = " ".join(getattr(error, "__notes__", []))
        if "committed in all databases" in notes:
            return Told.CANCELLED_COMMITTED
        return Told.CANCELLED_REFUSED if "committed nowhere" in notes else Told.CANCELLED
    return Told.REFUSED if isinstance(error, EXPECTED) else Told.STRANGE
