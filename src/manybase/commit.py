"""Commit: how the participants of a transaction end it, by what each has done and can promise."""

from __future__ import annotations

from collections.abc import Sequence

from manybase.atomic import AtomicCommit
from manybase.engines import Databases
from manybase.gid import new_transaction
from manybase.participants import Participant, choose_coordinator, has_begun, is_volatile
from manybase.refusals import raise_told
from manybase.sequence import commit_in_order, commit_one, roll_back
from manybase.steps import reached


def commit_together(
    databases: Databases, participants: Sequence[Participant], *, transaction: str | None = None, asyncio: bool = False
) -> None:
    """Commit everywhere or nowhere. Raises ``CommitError``, or the error of the database that refused.

    Those that have only read end first: one that fails then ends nothing. One writer is committed as always; several
    are by ``AtomicCommit``. What is only in memory has nothing to fear from a kill, and goes with them.
    """
    try:
        writers = [each for each in participants if each.writes and has_begun(each.connection)]
        volatile = [each for each in writers if is_volatile(each.connection.engine.url)]
        durable = [each for each in writers if each not in volatile]
        coordinator = choose_coordinator(databases, durable, asyncio=asyncio) if len(durable) > 1 else None
        for each in participants:
            if each not in writers:
                commit_one(each)
    except BaseException as error:
        roll_back(participants)
        raise_told(error, " or ".join(each.name for each in participants))
    if coordinator is not None:
        others = [each for each in durable if each is not coordinator]
        transaction = transaction or new_transaction()
        AtomicCommit(databases, coordinator, others, volatile, transaction=transaction, asyncio=asyncio).run()
    elif len(writers) > 1:
        commit_in_order([*volatile, *durable])
    elif writers:
        commit_at_once(writers[0])


def commit_at_once(participant: Participant) -> None:
    """One COMMIT, which is all there is to do; over several SQLite files it is atomic by itself."""
    several = len(participant.files) > 1
    try:
        if several:
            reached("begun")
            reached("deciding", participant.name)
        commit_one(participant)
    except BaseException:
        roll_back([participant])
        raise
    if several:
        reached("committed")
