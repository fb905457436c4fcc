"""Idling: tenant engines that nobody uses are closed in the background of an application, not only by the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from manybase.engines import Databases

logger = logging.getLogger("manybase.tenants")


@asynccontextmanager
async def closing_idle(databases: Databases, every: float | None = None) -> AsyncIterator[None]:
    """Inside the block, the engines of tenants are closed that were idle for ``tenant_engine_idle`` seconds.

    Looks every ``every`` seconds, by default a quarter of that time. Nothing runs where there are no tenants.
    """
    if not databases.tenants:
        yield
        return
    task = asyncio.create_task(run(databases, every or databases.tenant_engine_idle / 4), name="manybase tenants")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def run(databases: Databases, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await asyncio.to_thread(databases.close_idle_tenants)
        except Exception as error:
            logger.warning("Idle engines of tenants could not be closed (%s).", type(error).__name__)
