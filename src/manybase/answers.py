"""Answers: what a directory has said about a tenant, asked by one at a time and kept for a while."""

from __future__ import annotations

import asyncio as aio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import Uninterrupted
from manybase.directories import NOBODY, Directory, Found
from manybase.errors import ConfigurationError, DirectoryUnavailable

logger = logging.getLogger("manybase.tenants")

PATIENCE = 5.0  # seconds that one question may take
BRIEFLY = 5.0  # seconds for which a tenant stays unknown, and until a directory that failed is asked again
KEPT = 100_000  # answers, and a hundredth as many about those who are nobody: names are the client's to invent
Answer = tuple[Found, float]


class Answers:
    """The answers of one directory. While it fails, what it said last is believed."""

    def __init__(self, database: str, directory: Directory) -> None:
        self.directory = directory
        self._database = database
        self._known: dict[str, Answer] = {}
        self._nobody: dict[str, Answer] = {}
        self._asked: dict[str, Future[Found]] = {}
        self._lock = Lock()

    def find(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        """The shard of a tenant, or ``NOBODY``; ``DirectoryUnavailable`` where it does not answer, and never did."""
        known = self.known(tenant)
        if known is not None:
            return known[0]
        while True:
            with self._lock:
                asked = self._asked.get(tenant)
                ours = asked is None
                if asked is None:
                    asked = self._asked[tenant] = Future()
            if ours:
                return self._ask(tenant, asked, databases, asyncio=asyncio)
            try:
                return self._wait(asked, asyncio=asyncio)
            except Deserted:
                continue

    def known(self, tenant: str) -> Answer | None:
        """What needs no question."""
        answer = self._known.get(tenant) or self._nobody.get(tenant)
        return answer if answer is not None and time.monotonic() < answer[1] else None

    def forget(self, tenant: str) -> None:
        self._known.pop(tenant, None)
        self._nobody.pop(tenant, None)

    def _ask(self, tenant: str, asked: Future[Found], databases: Any, *, asyncio: bool) -> Found:
        try:
            found = self._answer(tenant, databases, asyncio=asyncio)
        except BaseException as error:
            self._end(tenant)
            asked.set_exception(error if isinstance(error, DirectoryUnavailable) else Deserted())
            asked.exception()  # nobody may be waiting
            raise
        self._end(tenant)
        asked.set_result(found)
        return found

    def _end(self, tenant: str) -> None:
        with self._lock:
            del self._asked[tenant]

    def _answer(self, tenant: str, databases: Any, *, asyncio: bool) -> Found:
        def ask() -> Found:
            return self.directory.find(tenant, databases, asyncio=asyncio)

        try:
            found = bounded(ask, asyncio=asyncio)
        except ConfigurationError:
            raise
        except Exception as error:
            found = self._when_failed(tenant, error)
            self._keep(tenant, found, BRIEFLY)
        else:
            self._keep(tenant, found, self.directory.believed if found is not NOBODY else BRIEFLY)
        return found

    def _when_failed(self, tenant: str, error: Exception) -> Found:
        known = self._known.get(tenant)
        if known is None:
            raise DirectoryUnavailable(self._database) from error
        logger.warning(
            "The directory of the tenants of %r failed (%s); what it said last is believed.",
            self._database,
            type(error).__name__,
        )
        return known[0]

    def _keep(self, tenant: str, found: Found, seconds: float) -> None:
        answers, most = (self._nobody, KEPT // 100) if found is NOBODY else (self._known, KEPT)
        with self._lock:
            self.forget(tenant)
            while len(answers) >= most:
                del answers[next(iter(answers))]
            answers[tenant] = found, time.monotonic() + seconds

    def _wait(self, asked: Future[Found], *, asyncio: bool) -> Found:
        try:
            if not asyncio:
                return asked.result(2 * PATIENCE)
            return await_only(aio.wait_for(aio.shield(aio.wrap_future(asked)), 2 * PATIENCE))
        except TimeoutError:
            raise DirectoryUnavailable(self._database) from None


def bounded(ask: Callable[[], Found], *, asyncio: bool) -> Found:
    if asyncio:
        return await_only(aio.wait_for(greenlet_spawn(ask), PATIENCE))
    steps = Uninterrupted(asyncio=False)
    found = steps.run_one(ask, PATIENCE)
    if steps.interruption is not None:
        raise steps.interruption
    return found


class Deserted(Exception):
    """Whoever asked gave up before there was an answer."""
