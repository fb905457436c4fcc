"""Workers: processes that commit units without end; a unit is one row, with the same id in every database."""

import asyncio
import os
import random
import time
from pathlib import Path

from sqlalchemy import Insert, insert

from manybase import AsyncSession, Databases, Session
from tests.chaos import delays
from tests.chaos.herd import orphaned, prepare_process
from tests.chaos.ledger import Ledger, Telling, Told
from tests.chaos.topologies import UNITS, Drivers, Place

AT_ONCE = 3  # units of an async worker
CANCELLED = 0.15  # of its units, wherever they are
TIMEOUTS = (0.2, 5, 30)  # seconds; short ones run out while a server restarts


def work(place: Place, path: Path, drivers: Drivers) -> None:
    """The body of a worker process: never returns, unless its parent is gone."""
    prepare_process()
    os.nice(5)  # killers, recoverers and servers come first: workers alone would keep every core busy
    delays.begin(asyncio=drivers.asyncio)
    databases = place.declare(drivers, commit_timeout=random.choice(TIMEOUTS))
    ledger = Ledger(path)
    if drivers.asyncio:
        asyncio.run(work_in_tasks(databases, ledger))
    while not orphaned():
        commit_unit(databases, ledger)


def commit_unit(databases: Databases, ledger: Ledger) -> None:
    number = new_number()
    with Telling(ledger, number) as telling, Session(databases) as session:
        for statement in inserts(databases, number):
            session.execute(statement)
        telling.committing()
        session.commit()
        telling.committed()
    if telling.told is not Told.COMMITTED:
        time.sleep(0.02)  # a server may be away


async def work_in_tasks(databases: Databases, ledger: Ledger) -> None:
    async def one_after_the_other() -> None:
        while not orphaned():
            await commit_unit_unless_cancelled(databases, ledger)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def commit_unit_unless_cancelled(databases: Databases, ledger: Ledger) -> None:
    unit = asyncio.create_task(commit_unit_async(databases, ledger))
    if random.random() < CANCELLED:
        asyncio.get_running_loop().call_later(random.uniform(0, 0.1), unit.cancel)
    told = (await asyncio.gather(unit, return_exceptions=True))[0]
    if isinstance(told, Exception):
        raise told
    if told is not Told.COMMITTED:
        await asyncio.sleep(0.02)


async def commit_unit_async(databases: Databases, ledger: Ledger) -> Told | None:
    number = new_number()
    with Telling(ledger, number) as telling:
        async with AsyncSession(databases) as session:
            for statement in inserts(databases, number):
                await session.execute(statement)
            telling.committing()
            await session.commit()
            telling.committed()
    return telling.told


def new_number() -> int:
    return random.getrandbits(62)


def inserts(databases: Databases, number: int) -> list[Insert]:
    """In any order: each id is new, so nothing waits for a row of somebody else."""
    return [insert(UNITS[name]).values(id=number) for name in random.sample(databases.names, len(databases))]
