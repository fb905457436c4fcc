"""Orders: what is to be done with the databases, the plan of each, who watches, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import Literal, Protocol

from alembic.script import Script

from manybase.migrations.environments import Heads
from manybase.migrations.histories import History

Direction = Literal["upgrade", "downgrade", "stamp"]


@dataclass(frozen=True)
class Migrated:
    """One database that is done: from which heads it went to which, by which revisions, in how many seconds."""

    database: str
    before: Heads
    after: Heads
    revisions: tuple[str, ...]
    seconds: float


class Observer(Protocol):
    """Whoever shows how it goes. Called from several threads."""

    def begins(self, database: str) -> None: ...
    def waits(self, database: str, holder: str) -> None: ...
    def steps(self, database: str, revision: str, number: int, count: int) -> None: ...
    def ends(self, database: str, error: BaseException | None) -> None: ...


class Silent:
    """Shows nothing."""

    def begins(self, database: str) -> None: ...
    def waits(self, database: str, holder: str) -> None: ...
    def steps(self, database: str, revision: str, number: int, count: int) -> None: ...
    def ends(self, database: str, error: BaseException | None) -> None: ...


class Stopped(Exception):
    """Somebody asked to stop between two revisions."""


@dataclass(frozen=True)
class Order:
    """What is to be done with each database. ``stopping`` ends it between two revisions; ``only_behind`` leaves alone
    what is at a revision that the history does not have."""

    direction: Direction
    destination: str
    lock_timeout: float = 60.0
    observer: Observer = field(default_factory=Silent)
    stopping: Event = field(default_factory=Event)
    only_behind: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done with one database: where it is, and the revisions on the way, in order."""

    database: str
    direction: Direction
    dialect: str
    history: History
    before: Heads
    scripts: tuple[Script, ...]
    steps: int

    @property
    def revisions(self) -> tuple[str, ...]:
        return tuple(each.revision for each in self.scripts)
