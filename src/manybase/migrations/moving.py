"""Moving: databases brought up, down or declared to be at a revision, all of them or those that are named."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from contextlib import suppress
from functools import partial
from threading import Event

from manybase.concurrency import to_the_end
from manybase.engines import Databases
from manybase.errors import DestructiveMigration
from manybase.migrations import creating
from manybase.migrations.asking import Names, check_not_in_memory
from manybase.migrations.environments import Target
from manybase.migrations.histories import History, histories
from manybase.migrations.lint import Risk, risks
from manybase.migrations.orders import Direction, Migrated, Observer, Order, Plan, Silent
from manybase.migrations.places import Canary, places
from manybase.migrations.revising import make_directory
from manybase.migrations.running import Agree, How, Outcome, Run, concluded, move
from manybase.parts import Which


def upgrade(
    databases: Databases,
    revision: str = "head",
    *,
    names: Names = None,
    tenants: Which = None,
    jobs: int = 8,
    keep_going: bool = False,
    canary: Canary = 0,
    only_behind: bool = False,
    lock_timeout: float = 60.0,
    allow_data_loss: bool = False,
    observer: Observer | None = None,
) -> list[Migrated]:
    """Bring the databases up to ``revision``, ``jobs`` at a time; what is there already is passed over.

    One lock per database, which others are given ``lock_timeout`` seconds to leave, keeps two programs apart; it goes
    with its holder. The first that fails is the last to begin, unless ``keep_going``. The first ``canary`` databases
    go before all others, or the one, or the tenant, that it names.

    ``tenants`` is "all", or the names of some, and then nothing else is upgraded; without it, the parts of tenants stay
    as they are, but for shards that they share. ``only_behind`` leaves alone what a newer program has migrated.

    Raises ``DestructiveMigration`` before anything is changed, ``MigrationFailed`` or ``MigrationLocked`` for a single
    database, and ``PartlyMigrated`` for several: run it again to do the rest.
    """
    order, how = ordered("upgrade", revision, lock_timeout, observer), How(jobs, keep_going, canary, only_behind)
    return concluded(run(databases, order, names=names, tenants=tenants, how=how, agree=consent(allow_data_loss)))


async def aupgrade(
    databases: Databases,
    revision: str = "head",
    *,
    names: Names = None,
    tenants: Which = None,
    jobs: int = 8,
    lock_timeout: float = 60.0,
    allow_data_loss: bool = False,
) -> list[Migrated]:
    """As ``upgrade``, in a thread. A task that is cancelled meanwhile ends when the revisions under way have."""
    order = ordered("upgrade", revision, lock_timeout, None)
    return concluded(
        await arun(databases, order, names=names, tenants=tenants, how=How(jobs), agree=consent(allow_data_loss))
    )


def downgrade(
    databases: Databases,
    revision: str,
    *,
    names: Names = None,
    tenants: Which = None,
    jobs: int = 8,
    keep_going: bool = False,
    lock_timeout: float = 60.0,
    allow_data_loss: bool = False,
    observer: Observer | None = None,
) -> list[Migrated]:
    """Bring the databases down to ``revision``, such as "-1" or "base". Otherwise as ``upgrade``."""
    order = ordered("downgrade", revision, lock_timeout, observer)
    how = How(jobs, keep_going)
    return concluded(run(databases, order, names=names, tenants=tenants, how=how, agree=consent(allow_data_loss)))


def stamp(
    databases: Databases,
    revision: str,
    *,
    names: Names = None,
    tenants: Which = None,
    jobs: int = 8,
    lock_timeout: float = 60.0,
) -> list[Migrated]:
    """Write down that the databases are at ``revision``, and change nothing else in them."""
    order = ordered("stamp", revision, lock_timeout, None)
    return concluded(run(databases, order, names=names, tenants=tenants, how=How(jobs), agree=agreeing))


def run(
    databases: Databases, order: Order, *, names: Names, how: How, agree: Agree, tenants: Which = None
) -> Outcome[Migrated]:
    """What ``upgrade`` and the others are made of: tells how it went, and raises only where nothing was begun.

    ``agree`` gets the plans of the databases that have something to do, and raises where it does not.
    """
    return move(databases, order, names, how, agree, tenants)


async def arun(
    databases: Databases, order: Order, *, names: Names, how: How, agree: Agree, tenants: Which = None
) -> Outcome[Migrated]:
    check_not_in_memory(databases, names)
    job = partial(run, databases, order, names=names, tenants=tenants, how=how, agree=agree)
    work = asyncio.create_task(asyncio.to_thread(job))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        order.stopping.set()
        with suppress(Exception):  # it was cancelled, whatever came of it
            await to_the_end(work)
        raise


def ordered(direction: Direction, revision: str, lock_timeout: float, observer: Observer | None) -> Order:
    return Order(direction, revision, lock_timeout, observer or Silent())


def consent(given: bool) -> Agree:
    return agreeing if given else refuse_data_loss


def agreeing(_: Sequence[Plan]) -> None: ...


def refuse_data_loss(plans: Sequence[Plan]) -> None:
    """Raise ``DestructiveMigration`` where a plan would lose data."""
    told: dict[str, list[str]] = {}
    known: dict[Hashable, list[Risk]] = {}
    for each in plans:
        same = each.history, each.direction, each.dialect, each.revisions
        if same not in known:
            known[same] = [risk for risk in risks_of(each) if risk.loses_data]
        if known[same]:
            told[each.database] = [f"{each.database}: {risk.where} ({risk.revision})" for risk in known[same]]
    if told:
        raise DestructiveMigration(told, [loss for losses in told.values() for loss in losses])


def risks_of(plan: Plan) -> list[Risk]:
    """What the revisions of a plan would do to a database in production."""
    return risks(plan.scripts, plan.dialect, upgrade=plan.direction == "upgrade")


def initialize(databases: Databases, *, names: Names = None) -> list[History]:
    """Make the missing directories of the histories; which they are."""
    return [history for history in histories(databases, names) if make_directory(history)]


def setup(
    databases: Databases,
    *,
    names: Names = None,
    tenants: Which = None,
    how: How = How(),  # noqa: B008
    lock_timeout: float = 60.0,
    observer: Observer | None = None,
    agree: Agree = refuse_data_loss,
    stopping: Event | None = None,
) -> tuple[list[str], Outcome[Migrated]]:
    """Create the databases that are missing, where the server allows it, then upgrade all: which were created, and how
    it went. Can be done again and again."""

    def create(target: Target) -> bool:
        missing = creating.create_missing(databases, target.name, asyncio=target.asyncio)
        missing = creating.create_schema(target) or missing
        creating.keep_decisions(databases, target)
        return missing

    every = places(databases, names, tenants)
    order = Order("upgrade", "head", lock_timeout, observer or Silent(), stopping or Event())
    made = Run(databases, create, jobs=how.jobs, keep_going=how.keep_going, stopping=order.stopping).over(every)
    created = [name for name, missing in made.done.items() if missing]
    if (made.failed and not how.keep_going) or order.stopping.is_set():
        return created, Outcome(failed=made.failed, pending=[*made.done, *made.pending], interrupted=made.interrupted)
    outcome = run(databases, order, names=list(made.done), how=how, agree=agree)
    outcome.failed.update(made.failed)
    outcome.sort(databases)
    return created, outcome
