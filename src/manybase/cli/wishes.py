"""Wishes: what the options say about a migration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manybase.migrations import How
    from manybase.parts import Which


@dataclass(frozen=True)
class Wish:
    """``names``: None where all are meant. ``app``: the Databases, as they were given, for other processes."""

    names: list[str] | None
    app: str | None
    json: bool
    jobs: int
    lock_timeout: float
    keep_going: bool = False
    canary: str = "0"
    yes: bool = False
    only_behind: bool = False
    tenants: Which = None

    @property
    def how(self) -> How:
        from manybase.migrations import How

        canary = int(self.canary) if self.canary.isascii() and self.canary.isdigit() else self.canary
        return How(self.jobs, self.keep_going, canary, self.only_behind)
