"""Finding: one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """``database``: None where it is about several. ``message``: what is, why it matters, and what to do.

    "fail": commits over several databases fail, or may tear. "warn": they work, and something should be known.
    """

    database: str | None
    level: Level
    topic: str
    message: str
