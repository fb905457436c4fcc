"""Unfinished: what atomic commits of this process leave for later, and who is told at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("manybase.commit")

Waker = Callable[[], None]


class Unfinished:
    """``transactions``: decided or given up, but not ended everywhere. ``forgettable``: decisions nobody needs."""

    def __init__(self) -> None:
        self.transactions: set[str] = set()
        self.wakers: set[Waker] = set()
        self._forgettable: dict[str, list[str]] = {}

    def hand_over(self, transaction: str, databases: list[str], why: str) -> None:
        """Leave the rest to recovery, and wake it if it runs in this process."""
        logger.warning("Transaction %s: %s. Recovery ends it in %s.", transaction, why, ", ".join(databases))
        self.transactions.add(transaction)
        for wake in list(self.wakers):
            wake()

    def may_forget(self, coordinator: str, transaction: str) -> None:
        self._forgettable.setdefault(coordinator, []).append(transaction)

    def take_forgettable(self, coordinator: str, at_least: int) -> list[str]:
        """Decisions to delete now, once there are enough of them to be worth a statement."""
        waiting = self._forgettable.get(coordinator)
        if waiting is None or len(waiting) < at_least:
            return []
        return self._forgettable.pop(coordinator, [])
