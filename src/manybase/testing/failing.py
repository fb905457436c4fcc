"""fail_at: let an atomic commit fail, or the process die, at a step of its protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from manybase.errors import ConfigurationError
from manybase.steps import STEPS, Step, observers


class Failure(Exception):
    """What ``fail_at`` raises unless it is given something else."""


@contextmanager
def fail_at(
    step: Step,
    database: str | None = None,
    *,
    error: BaseException | type[BaseException] | Callable[[], object] = Failure,
    times: int | None = None,
    kill: bool = False,
) -> Iterator[None]:
    """Inside the block, each atomic commit that reaches ``step`` (in ``database``, where the step is of one) fails.

    ``error`` is raised there; a function is called instead, and may do worse, such as end a connection. ``kill=True``
    ends this process as SIGKILL does: run it in a child process, then let ``manybase.recovery.resolve`` finish.
    ``times`` bounds how often it strikes. The steps are ``manybase.steps.STEPS``, in the order in which a commit
    reaches them. What fails before "committed" must leave nothing anywhere; what fails after it, everything.
    """
    if step not in STEPS:
        raise ConfigurationError(f"{step!r} is no step of a commit. Steps: {', '.join(map(repr, STEPS))}.")
    left = times

    def strike(reached: Step, where: str | None) -> None:
        nonlocal left
        if reached != step or database not in (None, where) or left == 0:
            return
        left = None if left is None else left - 1
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(error, BaseException) or (isinstance(error, type) and issubclass(error, BaseException)):
            raise error
        error()

    observers.append(strike)
    try:
        yield
    finally:
        observers.remove(strike)
