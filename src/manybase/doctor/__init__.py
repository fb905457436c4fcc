"""Doctor: what stands in the way of atomic commits, or of their recovery, as far as the databases tell. Only reads."""

from __future__ import annotations

import asyncio as aio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from sqlalchemy.util import await_only, greenlet_spawn

from manybase.concurrency import Uninterrupted
from manybase.doctor.examining import examine, failed
from manybase.doctor.facts import Facts
from manybase.doctor.findings import Finding, Level
from manybase.doctor.tenants import parts
from manybase.doctor.together import conclude
from manybase.engines import Databases

__all__ = ["Facts", "Finding", "Level", "adiagnose", "conclude", "diagnose", "examine", "parts"]

PATIENCE = 10.0  # seconds for each database


def diagnose(databases: Databases, *, asyncio: bool = False, timeout: float = PATIENCE) -> list[Finding]:
    """What is right and wrong with the databases for commits over several of them, database by database.

    Nothing is changed anywhere. A database that does not answer within ``timeout`` seconds is a finding, no error.
    """
    if asyncio:
        return await_only(adiagnose(databases, timeout=timeout))
    steps = Uninterrupted(asyncio=False)
    listed = steps.run([partial(parts, databases, asyncio=False)], timeout)[0]
    names = databases.names if isinstance(listed, BaseException) else listed
    ended = steps.run([partial(examine, databases, name, asyncio=False) for name in names], timeout)
    if steps.interruption is not None:
        raise steps.interruption
    facts = [
        failed(databases, name, each) if isinstance(each, BaseException) else each
        for name, each in zip(names, ended, strict=True)
    ]
    return conclude(facts)


async def adiagnose(databases: Databases, *, timeout: float = PATIENCE) -> list[Finding]:
    """As ``diagnose``, under asyncio."""

    async def one(name: str) -> Facts:
        try:
            async with aio.timeout(timeout):
                return await greenlet_spawn(examine, databases, name, asyncio=True)
        except TimeoutError as error:
            return failed(databases, name, error)

    names: Sequence[str] = databases.names
    with suppress(TimeoutError):
        async with aio.timeout(timeout):
            names = await greenlet_spawn(parts, databases, asyncio=True)
    return conclude(await aio.gather(*map(one, names)))
