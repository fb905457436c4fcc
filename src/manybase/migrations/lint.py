"""Lint: to be replaced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from alembic.script import Script


@dataclass(frozen=True)
class Risk:
    revision: str
    kind: Literal["data loss", "rewrite", "long lock", "not null", "index not concurrent", "rename", "unknown"]
    where: str
    message: str
    safer: str

    @property
    def loses_data(self) -> bool:
        return self.kind == "data loss"


def risks(scripts: Iterable[Script], dialect_name: str, *, upgrade: bool = True) -> list[Risk]:
    return []
