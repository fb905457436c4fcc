"""After a fork the child must not use its parent's sockets: its pools start empty."""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    def forget_connections(self) -> None: ...


@cache
def living() -> WeakSet[Forgetful]:
    registered: WeakSet[Forgetful] = WeakSet()

    def in_child() -> None:
        for each in list(registered):
            each.forget_connections()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=in_child)
    return registered


@cache
def inherited() -> list[object]:
    return []


def leave_to_parent(*objects: object) -> None:
    """In a child: keep what is the parent's from being finalized. Drivers would close its sockets or say goodbye over
    them (mysqlconnector), or take them off its event loop, for both processes share the selector (aiomysql)."""
    inherited().extend(objects)


def reset_after_fork(each: Forgetful) -> None:
    """Call ``each.forget_connections()`` in every child process forked from now on."""
    living().add(each)
