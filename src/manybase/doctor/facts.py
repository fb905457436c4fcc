"""Facts: what one database tells of itself, and the questions that are the same for every server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import URL, Connection

from manybase import decision
from manybase.decision import LATEST
from manybase.doctor.findings import Finding
from manybase.gid import Gid, Xid
from manybase.health import OLD
from manybase.participants import is_volatile

HOUR = 3600


@dataclass
class Facts:
    """``prepares``: None where that is not known. ``slots``: how many transactions its server keeps prepared."""

    name: str
    app: str
    backend: str | None
    url: URL | None
    answers: bool = False
    prepares: bool | None = None
    slots: int | None = None
    pool: int | None = None
    attachable: bool = False
    """A SQLite file that commits together with others, by ATTACH, unless there are ``obstacles``."""
    obstacles: list[str] = field(default_factory=list)
    loses_decisions: str | None = None
    """How a failover of this server could lose a decision that it has made."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def server(self) -> str:
        return f"{self.url.host}:{self.url.port}" if self.url is not None and self.url.host else self.name

    @property
    def lasts(self) -> bool:
        """Whether there is something to commit atomically."""
        return self.url is not None and not is_volatile(self.url)


Check = Callable[[Connection, Facts], Iterator[Finding]]


def decision_table(facts: Facts, missing: str | None, dialect: str) -> Iterator[Finding]:
    if missing is None:
        yield Finding(facts.name, "ok", "decisions", "It can keep the decisions of atomic commits.")
        return
    message = (
        f"The table for the decisions of atomic commits: {missing}. Commits that it coordinates are refused. Let "
        f"somebody who may do it run, and grant SELECT, INSERT and DELETE on it: {decision.script(dialect)}"
    )
    yield Finding(facts.name, "fail", "decisions", message)


def clock_difference(facts: Facts, ask: Callable[[], float]) -> Iterator[Finding]:
    """Between the server and this machine."""
    before = time.time()
    theirs = ask()
    seconds = abs(theirs - (before + time.time()) / 2)
    if seconds > LATEST / 2:
        level, why = "fail", "Beyond a day, every commit that it decides is refused."
    elif seconds > HOUR:
        level, why = "warn", "Ages are wrong by as much, and beyond a day commits are refused."
    else:
        return
    message = f"Its clock and this machine's differ by {seconds / HOUR:.1f} h. {why} Set both by NTP."
    yield Finding(facts.name, level, "clock", message)  # type: ignore[arg-type]


def old_ones(facts: Facts, prepared: Iterator[tuple[Gid | Xid, float]]) -> Iterator[Finding]:
    """Transactions of ours that recovery should have ended."""
    ages = [age for each, age in prepared if each.participant == facts.name and age > OLD]
    if ages:
        message = (
            f"{len(ages)} transactions are in doubt, the oldest for {max(ages):.0f} s: they hold locks. Recovery does "
            "not run, or cannot reach their coordinators. Run `manybase in-doubt`, which says why, and "
            "`manybase in-doubt resolve`; let applications run manybase.recovering."
        )
        yield Finding(facts.name, "warn", "in doubt", message)
