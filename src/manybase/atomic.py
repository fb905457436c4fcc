"""AtomicCommit: one transaction over several databases, committed everywhere or nowhere.

The coordinator is one of the participants, and its own COMMIT is the moment: with it goes a row that says so. The
others are prepared before and committed after it. This is the commit-markable resource of Narayana without its log
files: all that a recovering process needs stands in the names of the prepared transactions, and in that row
(docs/atomic-commit.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Any, NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from manybase import decision, twophase
from manybase.concurrency import Late, Uninterrupted
from manybase.coordinators import arbitrate_until, forget_identity, identity_of
from manybase.engines import Databases
from manybase.errors import AtomicityError, InDoubtError, ManybaseError, NotCommitted, PartialCommitError
from manybase.gid import POSTGRESQL_LIMIT, Gid, Xid
from manybase.learned import BELIEVED
from manybase.participants import Participant, has_begun
from manybase.prepared_slots import prepared_slots
from manybase.refusals import is_conflict, overtaken, raise_told
from manybase.replication import tell
from manybase.sequence import commit_in_order, roll_back
from manybase.steps import reached
from manybase.twophase import mysql
from manybase.wire import abandon, commit, is_abandoned, is_lost, run, settle, socket_of

STANDSTILL = 4  # times the commit_timeout: so long a coordinator's server waits for a process that has stopped
FORGET_AFTER = 50  # decisions that nobody needs any more, for each statement that deletes them


How = Callable[[Connection, Gid | Xid], bool]


class AtomicCommit:
    """``run`` returns once the transaction is committed; what it raises says how it ended."""

    def __init__(
        self,
        databases: Databases,
        coordinator: Participant,
        others: Sequence[Participant],
        volatile: Sequence[Participant] = (),
        *,
        transaction: str,
        asyncio: bool,
    ) -> None:
        self.databases = databases
        self.coordinator = coordinator
        self.others = others
        self.volatile = volatile
        self.transaction = transaction
        self.asyncio = asyncio
        self.timeout = databases.commit_timeout
        self.steps = Uninterrupted(asyncio=asyncio)
        self.names: dict[Participant, Gid | Xid] = {}
        self.prepared: set[Participant] = set()
        self.recorded = False  # the decision is written, and counts once it is committed
        self.late: dict[Participant, Late] = {}  # the job that still uses its connection
        self.in_memory: list[str] = []  # databases that are committed before the decision

    def run(self) -> None:
        try:
            with self.steps.until_the_end():
                self._run()
        except BaseException as error:
            if error is not self.steps.interruption:
                doubt = isinstance(error, InDoubtError)
                self._raise_interruption(error, "in doubt" if doubt else "committed nowhere")
            raise
        self._raise_interruption(None, "committed in all databases")

    def _run(self) -> None:
        everyone = [self.coordinator, *self.others, *self.volatile]
        try:
            reached("begun")
            self.identity = self._identity_of(self.coordinator)
            self.names = {each: self._name(each) for each in self.others}
            for each in self.others:
                if each.xid is not None:  # it takes along a row of its own
                    self._identity_of(each)
            slots = prepared_slots(self.databases, self.others, asyncio=self.asyncio)
        except BaseException as error:
            roll_back(everyone)
            raise_told(error, self.coordinator.name)
        try:
            self._prepare()
            self._decide()
            self._finish()
        except BaseException:  # Ctrl-C may come between any two steps: no pool may get back what is still prepared
            if left := [each for each in list(self.prepared) if not is_abandoned(each.connection)]:
                self._leave(left, "interrupted")
            raise
        finally:
            slots.release()

    # Until the decision, any failure ends it everywhere.

    def _prepare(self) -> None:
        jobs: dict[Participant, Callable[[], Any]] = {}
        if self._records_beside():
            jobs[self.coordinator] = self._record_beside
        jobs.update({each: partial(self._prepare_one, each) for each in self.others})
        ended = self._run_each(jobs, here=True)
        failed = {each: error for each, error in ended.items() if error is not None}
        if failed:
            self._give_up(failed)
        self.recorded = self.coordinator in jobs
        try:
            if not self.recorded:
                reached("recording", self.coordinator.name)
            reached("all prepared")
            commit_in_order(self.volatile)
            self.in_memory = [each.name for each in self.volatile]
            reached("deciding", self.coordinator.name)
        except BaseException as error:
            self._give_up({self.coordinator: error})

    def _records_beside(self) -> bool:
        """Whether the decision may be written while the others prepare: it counts once it is committed.

        Only where the server has said that a transaction is open. Without one it would count at once, and too early.
        """
        return self.coordinator.dialect == "postgresql" and has_begun(self.coordinator.connection)

    def _prepare_one(self, participant: Participant) -> None:
        reached("preparing", participant.name)
        name = self.names[participant]
        if isinstance(name, Xid):  # it was named before the coordinator was known
            pointer = decision.pointer(self.transaction, name.participant, self.coordinator.name, self.identity)
            run(participant.connection, pointer)
        twophase.prepare(participant.connection, name)
        self.prepared.add(participant)
        reached("prepared", participant.name)

    def _record_beside(self) -> None:
        reached("recording", self.coordinator.name)
        self._record()

    def _record(self) -> None:
        coordinator = self.coordinator
        others = [each.name for each in self.others]
        sql = decision.commit(
            coordinator.dialect, self.transaction, others, coordinator.schema, standstill=STANDSTILL * self.timeout
        )
        try:
            run(coordinator.connection, sql)
        except IntegrityError as error:
            raise overtaken(coordinator.name) from error

    def _decide(self) -> None:
        try:
            self._run_at_coordinator(self._commit_coordinator)
        except BaseException as error:
            if not isinstance(error, Exception):
                self.steps.interruption = error
            if not (is_broken(error) or self._may_mislead(error)):
                self._give_up({self.coordinator: error})
            self._ask_what_was_decided(error)
        self.coordinator.ended = True

    def _commit_coordinator(self) -> None:
        if not self.recorded:  # where the connection commits by itself, this decides: from here on it is in doubt
            self._record()
            self.recorded = True
        if self.coordinator.xid is not None:
            mysql.commit(self.coordinator.connection, self.coordinator.xid)
        else:
            commit(self.coordinator.connection)
            if self.coordinator.dialect == "postgresql" and has_begun(self.coordinator.connection):
                raise ConnectionError("COMMIT was not sent: the driver believes in no transaction.")

    def _may_mislead(self, error: BaseException) -> bool:
        """Whether it may have committed though it answers COMMIT with this, as SQLite after an I/O error.

        PostgreSQL has not when it says so.
        """
        answered = isinstance(error, DBAPIError) and not isinstance(error, IntegrityError) and not is_conflict(error)
        return answered and self.recorded and self.coordinator.dialect != "postgresql"

    def _ask_what_was_decided(self, error: BaseException) -> None:
        """The connection broke in COMMIT. The decision table knows; what it does not know is an abort from now on."""
        self._abandon([self.coordinator])
        deadline = monotonic() + self.timeout
        name = self.coordinator.name
        ask = partial(arbitrate_until, self.databases, name, self.transaction, deadline, asyncio=self.asyncio)
        try:
            decided = self.steps.run_one(ask, self.timeout)
        except Exception:
            self._leave([self.coordinator, *self.others], "in doubt")
            raise InDoubtError(self.transaction, name) from error
        if decided == "abort":
            lost = NotCommitted(f"The connection to {name!r} was lost before it committed.", [name])
            lost.__cause__ = error
            self._give_up({self.coordinator: lost})

    def _give_up(self, failed: Mapping[Participant, BaseException]) -> NoReturn:
        """Roll back everywhere. What cannot be reached, recovery rolls back: it finds no decision."""
        self._abandon([each for each, error in failed.items() if is_broken(error)])
        roll_back([each for each in (self.coordinator, *self.volatile) if self._stays_in_thread(each)])
        all_of_them = (*self.others, self.coordinator, *self.volatile)
        everyone = [each for each in all_of_them if not self._stays_in_thread(each)]
        ended = self._run_each({each: partial(self._undo, each) for each in everyone})
        if left := [each for each, undone in ended.items() if undone is not True]:
            self._leave(left, "given up")
        forget_identity(self.databases, self.coordinator.name)  # it may be why it failed
        database, error = next((each.name, error) for each, error in failed.items())
        self._raise_interruption(error, "committed nowhere")
        if self.in_memory:
            raise PartialCommitError(
                self.in_memory, [each.name for each in (*self.others, self.coordinator)]
            ) from error
        raise_told(error, database)

    def _undo(self, participant: Participant) -> bool:
        """Whether it is certain that nothing of this participant is left."""
        if participant in self.prepared:
            return self._end(participant, twophase.roll_back_prepared)
        if participant not in self.names or not is_abandoned(participant.connection):
            roll_back([participant])
            return True
        self._elsewhere(participant, twophase.roll_back_prepared)  # PREPARE may have come through, or may yet
        return False

    # From the decision on, nothing fails any more: what does not answer is finished by recovery.

    def _finish(self) -> None:
        with suppress(Exception):
            reached("committed")
        jobs: dict[Participant, Callable[[], Any]] = {}
        if self.coordinator.tells and not self._stays_in_thread(self.coordinator):
            jobs[self.coordinator] = self._tell
        jobs.update({each: partial(self._finish_one, each) for each in self.others})
        ended = self._run_each(jobs, here=True)
        ended.pop(self.coordinator, None)
        lost = [each for each, finished in ended.items() if finished is None]
        ended.update(self._run_each({each: partial(self._finish_elsewhere, each) for each in lost}))
        if left := [each for each, finished in ended.items() if finished is not True]:
            self._leave(left, "committed")
            return
        with suppress(Exception):
            reached("all finished")
            self._forget()

    def _tell(self) -> None:
        self.coordinator.note_point(tell(self.coordinator.connection))

    def _finish_one(self, participant: Participant) -> bool | None:
        reached("finishing", participant.name)
        over = self._end_here(participant, twophase.commit_prepared)
        if over is not None:
            reached("finished", participant.name)
        if over and participant.tells:
            participant.note_point(tell(participant.connection))
        return over

    def _finish_elsewhere(self, participant: Participant) -> bool:
        over = self._elsewhere(participant, twophase.commit_prepared)
        reached("finished", participant.name)
        return over

    def _end(self, participant: Participant, how: How) -> bool:
        """End a prepared transaction, on its own connection or, where that is lost, on a new one."""
        over = self._end_here(participant, how)
        return self._elsewhere(participant, how) if over is None else over

    def _end_here(self, participant: Participant, how: How) -> bool | None:
        """Whether it is over; None where nobody knows, for its connection is lost."""
        if is_abandoned(participant.connection):
            return None
        try:
            over = how(participant.connection, self.names[participant])
            settle(participant.connection)
        except Exception:
            abandon(participant.connection)
            return None
        self.prepared.discard(participant)
        participant.ended = True
        return over

    def _elsewhere(self, participant: Participant, how: How) -> bool:
        with self.databases.beside(participant.name, asyncio=self.asyncio) as connection:
            return how(connection, self.names[participant])

    def _forget(self) -> None:
        name = self.coordinator.name
        self.databases.unfinished.may_forget(name, self.transaction)
        if transactions := self.databases.unfinished.take_forgettable(name, FORGET_AFTER):
            reached("forgetting")
            record = decision.forget(self.coordinator.dialect, transactions, self.coordinator.schema)
            try:
                self._run_at_coordinator(partial(self._commit_alone, record))
            except Exception:
                self._abandon([self.coordinator])
            reached("forgotten")

    def _commit_alone(self, sql: str) -> None:
        run(self.coordinator.connection, sql)
        commit(self.coordinator.connection)

    def _leave(self, participants: Sequence[Participant], why: str) -> None:
        self._abandon(participants)
        self.databases.unfinished.hand_over(self.transaction, [each.name for each in participants], why)

    def _raise_interruption(self, cause: BaseException | None, how: str) -> None:
        """A cancelled task or Ctrl-C stays what it is, and says how the commit ended that it could not stop."""
        if self.steps.interruption is not None:
            self.steps.interruption.add_note(f"Transaction {self.transaction} is {how}.")
            raise self.steps.interruption from cause

    def _abandon(self, participants: Sequence[Participant]) -> None:
        """Under asyncio, closing waits, and must not be interrupted either."""
        jobs = [partial(abandon, each.connection, self.late.get(each)) for each in participants]
        if self.asyncio and jobs:
            self.steps.run(jobs, self.timeout)
        else:
            for job in jobs:
                job()

    def _run_each(self, jobs: Mapping[Participant, Callable[[], Any]], *, here: bool = False) -> dict[Participant, Any]:
        """What each job returned or raised; ``here``: the last one in this thread, if that can be bounded."""
        socket = socket_of(list(jobs)[-1].connection) if here else None
        ended = dict(zip(jobs, self.steps.run(list(jobs.values()), self.timeout, socket=socket), strict=True))
        self.late.update({each: error for each, error in ended.items() if isinstance(error, Late)})
        return ended

    def _run_at_coordinator(self, job: Callable[[], None]) -> None:
        """What the coordinator does: bounded and not to be interrupted, where its connection may leave this thread."""
        if self._stays_in_thread(self.coordinator):
            job()
        else:
            ended = self._run_each({self.coordinator: job}, here=True)[self.coordinator]
            if isinstance(ended, BaseException):
                raise ended

    def _stays_in_thread(self, participant: Participant) -> bool:
        """Connections of SQLite may belong to the thread that made them."""
        return participant.dialect == "sqlite" and not self.asyncio

    def _identity_of(self, participant: Participant) -> str:
        believed = inf if participant.dialect == "sqlite" else BELIEVED  # a file is locked by now, by this transaction
        return identity_of(self.databases, participant.name, asyncio=self.asyncio, believed=believed)

    def _name(self, participant: Participant) -> Gid | Xid:
        if participant.xid is not None:
            return participant.xid
        app, name = self.databases.app, participant.name
        gid = Gid(app, self.coordinator.name, self.identity, self.transaction, name)
        if len(str(gid)) > POSTGRESQL_LIMIT:
            raise AtomicityError(
                f"The names of {self.coordinator.name!r} and {name!r} are too long for a commit over both: PostgreSQL "
                f"takes {POSTGRESQL_LIMIT} bytes as the name of a prepared transaction, and it would have "
                f"{len(str(gid))}.",
                [self.coordinator.name, name],
            )
        return gid


def is_broken(error: BaseException) -> bool:
    """Whether the server did not answer: what it was told may have happened, and its connection is of no use."""
    return is_lost(error) and not isinstance(error, ManybaseError)
