"""Recoverers: processes that recover without end and without politeness, racing commits that are under way."""

import asyncio
import random
import time
from pathlib import Path

from sqlalchemy import Connection

from manybase import decision
from manybase.recovery import Report, aresolve, resolve
from tests.chaos.herd import orphaned, prepare_process
from tests.chaos.ledger import Ledger
from tests.chaos.topologies import Drivers, Place

PAUSE = 0.02  # seconds at most, between two passes


def recover(place: Place, path: Path, drivers: Drivers, presuming: bool) -> None:
    """The body of a recoverer process. `presuming` makes it wrong on purpose: what is not decided, it rolls back."""
    prepare_process()
    if presuming:
        decision.arbitrate = presume_abort
    databases = place.declare(drivers)
    ledger = Ledger(path)

    async def in_a_loop() -> None:
        while not orphaned():
            note(ledger, await aresolve(databases, min_age=0))
            await asyncio.sleep(random.uniform(0, PAUSE))

    if drivers.asyncio:
        asyncio.run(in_a_loop())
    while not orphaned():
        note(ledger, resolve(databases, min_age=0))
        time.sleep(random.uniform(0, PAUSE))


def presume_abort(connection: Connection, transaction: str) -> decision.Outcome:
    """The mistake of two-phase commit without a tombstone: nobody keeps the coordinator from committing later."""
    return decision.outcome(connection, transaction) or "abort"


def note(ledger: Ledger, report: Report) -> None:
    for each in report.resolutions:
        ledger.append(each.ended)


def ended(path: Path) -> list[str]:
    """How each transaction ended that a recoverer met."""
    return path.read_text().splitlines() if path.exists() else []
