"""Risk: what a pending revision would do to a database that is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["data loss", "rewrite", "long lock", "not null", "index not concurrent", "rename", "unknown"]


@dataclass(frozen=True)
class Risk:
    """``where``: "table users", "column users.email", "index ix_users_email on users". ``message``: what happens.

    ``safer``: how to get there without it.
    """

    revision: str
    kind: Kind
    where: str
    message: str
    safer: str

    @property
    def loses_data(self) -> bool:
        return self.kind == "data loss"
