"""Scope: what a session may touch, fixed for its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["primary", "replica"]


@dataclass(frozen=True, slots=True)
class Scope:
    """``database``: the only one this session may touch, or None for all of them. ``atomic``: a commit over several
    databases happens everywhere or nowhere. ``role``: whose connections it gets, and whether it may write. ``tenant``:
    whose part it sees of the databases that have tenants.
    """

    database: str | None = None
    atomic: bool = True
    role: Role = "primary"
    tenant: str | None = None
