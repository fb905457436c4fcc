"""Commits that take a while, so that something can happen meanwhile."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest.mock import patch

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import await_only


@contextmanager
def slow_commits(seconds: float) -> Iterator[Event]:
    """Every COMMIT in the block waits before it is sent to its database; the event tells that the first one waits."""
    begun = Event()
    do_commit = DefaultDialect.do_commit

    def wait_and_commit(dialect: DefaultDialect, connection: Any) -> None:
        begun.set()
        if in_event_loop():
            await_only(asyncio.sleep(seconds))  # an AsyncSession commits in a greenlet
        else:
            time.sleep(seconds)
        do_commit(dialect, connection)

    with patch.object(DefaultDialect, "do_commit", wait_and_commit):
        yield begun


def in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
