"""Gid: the name of a prepared transaction, which says whose it is and who knows how it ends."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass

PREFIX = "mb1"
TABLE = "manybase_decision"  # where coordinators keep their decisions
POSTGRESQL_LIMIT = 200  # bytes of a gid
XA_LIMIT = 64  # bytes of gtrid, and of bqual
MILLISECONDS = 12  # hexadecimal digits, enough for the next 8,000 years
TRANSACTION = re.compile(r"[0-9a-f]{28}", re.ASCII)
WRITTEN = re.compile(
    rf"{PREFIX}:(?P<app>[\w-]+):(?P<coordinator>[\w@.-]+)\.(?P<identity>[0-9a-f]+):(?P<transaction>[0-9a-f]{{28}})"
    r":(?P<participant>[\w@.-]+)",
    re.ASCII,
)
WRITTEN_XA = re.compile(rf"{PREFIX}:(?P<app>[\w-]+):(?P<transaction>[0-9a-f]{{28}})", re.ASCII)


@dataclass(frozen=True)
class Gid:
    """``mb1:<app>:<coordinator>.<identity>:<transaction>:<participant>``.

    ``identity`` is that of the coordinator's decision table: a database that only bears the same name is not asked.
    """

    app: str
    coordinator: str
    identity: str
    transaction: str
    participant: str

    def __str__(self) -> str:
        return f"{PREFIX}:{self.app}:{self.coordinator}.{self.identity}:{self.transaction}:{self.participant}"

    @classmethod
    def parse(cls, text: str) -> Gid | None:
        """The parts of a gid of ours, or None for one of somebody else's."""
        found = WRITTEN.fullmatch(text)
        return None if found is None else cls(**found.groupdict())


@dataclass(frozen=True)
class Xid:
    """The name of an XA branch: it is needed before anybody knows who the coordinator will be, so it names none."""

    app: str
    transaction: str
    participant: str

    @property
    def gtrid(self) -> str:
        return f"{PREFIX}:{self.app}:{self.transaction}"

    def __str__(self) -> str:
        """As XA statements take it."""
        return f"'{self.gtrid}','{self.participant}'"

    @classmethod
    def parse(cls, gtrid: str, bqual: str) -> Xid | None:
        found = WRITTEN_XA.fullmatch(gtrid)
        return None if found is None else cls(**found.groupdict(), participant=bqual)


def new_transaction() -> str:
    """An id that nobody else makes: the time, and 64 random bits."""
    return f"{int(time.time() * 1000):0{MILLISECONDS}x}{uuid.uuid4().hex[:16]}"


def begun(transaction: str) -> float:
    """When a transaction got its id, in seconds since 1970 by the clock of whoever made it."""
    return int(transaction[:MILLISECONDS], 16) / 1000
