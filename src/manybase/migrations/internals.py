"""Internals: all that is private in Alembic and that we use, in this one place.

``alembic.op`` and ``alembic.context`` are modules whose functions ask one global object, ``_proxy``, so that two
threads that migrate two databases would work on the same one: 0 of 40 databases came out right. Here that object asks a
context variable instead, which each thread and each task has for itself. An unmodified ``env.py`` notices nothing.

Private: ``alembic.op._proxy``, ``alembic.context._proxy`` and ``ModuleClsProxy._install_proxy``, ``_remove_proxy``,
``_setups`` (Alembic 1.14 to 1.20), which there is no public way around; ``ScriptDirectory._upgrade_revs``,
``_downgrade_revs`` and ``_stamp_revs``, which Alembic's own commands are made of.
tests/migrations/test_internals.py fails when they change.
"""

from __future__ import annotations

import logging.config
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from functools import cache, wraps
from types import ModuleType
from typing import Any

import alembic.context
import alembic.op
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

Steps = Iterable[Any]


class Dispatcher:
    """Stands where Alembic looks for its one object, and passes on what it is asked to that of this context."""

    def __init__(self, name: str) -> None:
        self.current: ContextVar[Any] = ContextVar(name)
        self.tokens: ContextVar[tuple[Token[Any], ...]] = ContextVar(f"{name} before", default=())

    def __getattr__(self, name: str) -> Any:
        try:
            current = self.current.get()
        except LookupError:
            raise NameError(f"{name!r} is there while Alembic runs a migration, and no migration runs here.") from None
        return getattr(current, name)

    def install(self, itself: Any) -> None:
        self.tokens.set((*self.tokens.get(), self.current.set(itself)))

    def remove(self, _: Any) -> None:
        *left, last = self.tokens.get()
        self.current.reset(last)
        self.tokens.set(tuple(left))


@cache
def make_safe_for_threads() -> None:
    """From now on, in this process, Alembic's modules serve each thread and task by itself. Costs nothing twice."""
    dispatch(alembic.op, Operations)
    dispatch(alembic.context, EnvironmentContext)
    logging.config.fileConfig = configuring(logging.config.fileConfig)


def configuring(configure: Callable[..., None]) -> Callable[..., None]:
    """Older templates call ``fileConfig(config.config_file_name)`` whether there is one or not. There is none here: it
    would set up the logging of the whole process anew, once for each database."""

    @wraps(configure)
    def configure_from(name: Any, *arguments: Any, **options: Any) -> None:
        if name is not None:
            configure(name, *arguments, **options)

    return configure_from


def dispatch(module: ModuleType, proxied: Any) -> None:
    dispatcher = Dispatcher(module.__name__)
    attributes = proxied._setups[proxied][0]  # such as alembic.context.config

    def attribute(name: str) -> Any:
        if name not in attributes:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(dispatcher, name)

    vars(module).update(_proxy=dispatcher, __getattr__=attribute)
    proxied._install_proxy = lambda self: dispatcher.install(self)
    proxied._remove_proxy = lambda self: dispatcher.remove(self)


def upgrade_steps(script: ScriptDirectory, destination: str, heads: Any) -> Steps:
    return script._upgrade_revs(destination, heads)


def downgrade_steps(script: ScriptDirectory, destination: str, heads: Any) -> Steps:
    return script._downgrade_revs(destination, heads)


def stamp_steps(script: ScriptDirectory, destination: Any, heads: Any) -> Steps:
    return script._stamp_revs(destination, heads)
