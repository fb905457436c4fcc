"""Delays: a commit that dawdles at random steps, so that kills and recoverers meet it in the middle."""

import asyncio
import random
import time

from sqlalchemy.util import await_only

from manybase.steps import Step, observers

LONGEST = 0.05  # seconds
OFTEN = 0.1
UNDECIDED = ("prepared", "recording", "all prepared", "deciding")
LONGEST_UNDECIDED = 0.2  # then recoverers, which take a while to come round, decide first
# Those that run in tasks of their own, which no cancellation reaches: there the others may go on meanwhile.
BESIDE = ("preparing", "prepared", "recording", "finishing", "finished")


def dawdle(step: Step, database: str | None) -> None:
    if random.random() < OFTEN:
        time.sleep(duration(step))


def dawdle_in_tasks(step: Step, database: str | None) -> None:
    if step not in BESIDE:
        dawdle(step, database)
    elif random.random() < OFTEN:
        await_only(asyncio.sleep(duration(step)))


def duration(step: Step) -> float:
    return random.uniform(0, LONGEST_UNDECIDED if step in UNDECIDED else LONGEST)


def begin(*, asyncio: bool) -> None:
    """In most processes: those that do not dawdle are to be met as well."""
    if random.random() < 0.7:
        observers.append(dawdle_in_tasks if asyncio else dawdle)
