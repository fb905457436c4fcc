"""Asking: databases at once, sync or async as their drivers allow, and none of them for ever."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import greenlet_spawn

from manybase import decision
from manybase.concurrency import Uninterrupted
from manybase.decision import Outcome
from manybase.engines import Databases
from manybase.parts import base_of, is_of_many, units
from manybase.recovering import relevant, served
from manybase.recovery import InDoubt, Pass

T = TypeVar("T")
Found = dict[str, T]
PATIENCE = 15.0  # seconds for each database


def through_its_drivers(databases: Databases, work: Callable[[bool], T]) -> T:
    """What ``work(asyncio)`` returns: sync, or in an event loop where only that serves all databases."""
    names = relevant(databases)
    if served(databases, names, asyncio=False) or not aio.run(served_in_loop(databases, list(names))):
        return work(False)
    return aio.run(greenlet_spawn(work, True))


async def served_in_loop(databases: Databases, names: Sequence[str]) -> bool:
    return served(databases, names, asyncio=True)


def ask(
    this: Pass, names: Sequence[str], question: Callable[[str], T], *, patience: float = PATIENCE
) -> tuple[Found[T], list[str]]:
    """What each database answers, and those that do not."""

    steps = Uninterrupted(asyncio=this.asyncio)
    ended = steps.run([partial(question, name) for name in names], patience)
    if steps.interruption is not None:
        raise steps.interruption
    answers: Found[T] = {}
    silent = []
    for name, answer in zip(names, ended, strict=True):
        if isinstance(answer, (SQLAlchemyError, OSError)):
            silent.append(name)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers[name] = answer
    return answers, silent


def in_doubt(databases: Databases, names: Sequence[str], *, asyncio: bool) -> tuple[list[InDoubt], list[str]]:
    """What is in doubt in these databases, oldest first, and which of them do not answer."""
    this = Pass(databases, None, 0, asyncio=asyncio)
    wanted = [each for each in this.two_phase if each in names or base_of(each) in names]
    answers, silent = ask(this, wanted, this.doubts)
    found = [each for answer in answers.values() for each in answer]
    return sorted(found, key=lambda each: -each.age), silent


def decided(databases: Databases, transaction: str, *, asyncio: bool) -> tuple[Outcome | None, list[str]]:
    """What the decision tables know of a transaction, and which databases do not answer."""

    this = Pass(databases, None, 0, asyncio=asyncio)

    def look(name: str) -> Outcome | None:
        with this.connected(name) as connection:
            return decision.outcome(connection, transaction) if decision.identity(connection) is not None else None

    every = [unit for name in relevant(databases) for unit in units(databases, name)]
    answers, silent = ask(this, [each for each in every if not is_of_many(databases, each)], look)
    return next(filter(None, answers.values()), None), silent
