"""The steps of an atomic commit, by name: where `manybase.testing.fail_at` strikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Step = Literal[
    "begun",  # a commit over several writers starts
    "preparing",  # one participant is about to be prepared
    "prepared",  # one participant is prepared
    "recording",  # the decision is about to be written, in the coordinator's transaction
    "all prepared",
    "deciding",  # the coordinator's transaction is about to be committed, and the decision with it
    "committed",  # the coordinator is committed: from here on the transaction is
    "finishing",  # one prepared participant is about to be committed
    "finished",  # one prepared participant is committed
    "all finished",
    "forgetting",  # decisions that nobody needs any more are about to be deleted
    "forgotten",
]
STEPS: tuple[Step, ...] = get_args(Step)

Observer = Callable[[Step, str | None], None]

observers: list[Observer] = []


def reached(step: Step, database: str | None = None) -> None:
    for observer in observers:
        observer(step, database)
