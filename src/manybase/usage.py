"""Usage: how much a process has open of what is bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of one moment: ``connections`` are open, ``in_use`` are those of them that somebody has checked out.

    ``engines`` are those that tenants need, ``evictions`` those that were closed since the process began. ``waiting``
    are the sessions that wait for their turn. Without ``max_connections`` only pooled connections are seen.
    """

    engines: int
    max_engines: int
    connections: int
    in_use: int
    max_connections: int | None
    waiting: int
    evictions: int
