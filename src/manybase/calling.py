"""Calling: a function of the user's, sync or async, from a session of either kind."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Callable
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from sqlalchemy.util import await_only

from manybase.errors import ConfigurationError


def call(function: Callable[..., Any], *arguments: Any, asyncio: bool) -> Any:
    """What it returns. Under asyncio a sync one runs in a thread; ``ConfigurationError`` for an async one elsewhere."""
    if not asyncio:
        if is_async(function):
            raise ConfigurationError(
                f"{getattr(function, '__name__', 'The function')} is async, and a sync session cannot await it. Pass a "
                "sync one, which serves both kinds of session."
            )
        return function(*arguments)
    if is_async(function):
        return await_only(function(*arguments))
    result = await_only(aio.to_thread(function, *arguments))
    return await_only(result) if isawaitable(result) else result


def is_async(function: Any) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004
