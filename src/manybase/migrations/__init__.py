"""Migrations: every declared database brought to its head, on Alembic, several at a time.

Each function takes the ``Databases``, and ``names`` where not all are meant. They block; ``aupgrade`` does not.
"""

from __future__ import annotations

from collections.abc import Collection
from threading import Event

from manybase.engines import Databases
from manybase.migrations.running import Outcome, concluded, move
from manybase.migrations.stepping import Migrated, Observer, Order, Silent

__all__ = ["Migrated", "Observer", "Outcome", "downgrade", "stamp", "upgrade"]

JOBS = 8
LOCK_TIMEOUT = 60.0  # seconds


def upgrade(
    databases: Databases,
    revision: str = "head",
    *,
    names: Collection[str] | None = None,
    jobs: int = JOBS,
    keep_going: bool = False,
    canary: int = 0,
    lock_timeout: float = LOCK_TIMEOUT,
    observer: Observer | None = None,
) -> list[Migrated]:
    observer = observer or Silent()
    order = Order("upgrade", revision, lock_timeout, observer, Event())
    return concluded(move(databases, order, names, jobs=jobs, keep_going=keep_going, canary=canary))
