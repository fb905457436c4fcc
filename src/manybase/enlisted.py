"""Enlisted: what the transaction of a session has touched so far, how each part began, and how all of it commits."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.util.concurrency import in_greenlet

from manybase.attaching import Files
from manybase.commit import commit_at_once, commit_together
from manybase.engines import Databases
from manybase.errors import AtomicityError, ConfigurationError, InDoubtError, NotCommitted, PartialCommitError
from manybase.gid import XA_LIMIT, Xid, new_transaction
from manybase.participants import MYSQL, Participant, begins_as_xa, keep_decisions_in_file
from manybase.position import NOWHERE, OnPrimary, Point, Position
from manybase.sequence import commit_in_order, roll_back
from manybase.steps import observers
from manybase.twophase import mysql
from manybase.untransactional import refuse_what_is_fixed_at_once, tables_without_transactions
from manybase.wire import is_lost, is_over


class Enlisted:
    """One per session. ``connections`` by database, in the order of their begin; forgotten when a transaction ends."""

    def __init__(self, databases: Databases, files: Files | None, *, atomic: bool, asyncio: bool) -> None:
        self.connections: dict[str, Connection] = {}
        self._databases = databases
        self._files = files
        self._atomic = atomic
        self._asyncio = asyncio
        self._writers: set[str] = set()  # those not proven to have only read
        self._branches: dict[str, Xid] = {}  # transactions that began as XA
        self._fixed_at_once: dict[str, frozenset[str]] = {}  # tables of MySQL that no rollback reaches
        self._transaction: str | None = None
        self._listened: set[Connection] = set()
        self._hooked = False
        self.position = NOWHERE  # of all that was committed so far, where it has replicas

    def note_write(self, name: str, clause: Any, mapper: Any) -> None:
        """What is about to run is not proven to read only. Raises where a rollback could not undo it."""
        if name not in self._writers and (not self._atomic or self._prepare_to_write(name)):
            self._writers.add(name)
            self._listen_to_all()
        if name in self._fixed_at_once:
            refuse_what_is_fixed_at_once(name, self._fixed_at_once[name], clause, mapper)

    def begin(self, connection: Connection, *, hooked: bool) -> None:
        """A connection has begun its transaction. ``hooked``: somebody else has got hold of it, and may write."""
        self._hooked = self._hooked or hooked
        name = self._databases.name_of(connection.engine) or f"undeclared engine {len(self.connections)}"
        if self._files is not None:
            self._files.begin(name, connection)
            if self._files.holds(connection):  # it commits with the first file, whichever SQLAlchemy commits first
                self._listen(connection)
                self._listen(self._files.main)
                return
        self.connections[name] = connection
        begins_as_xa = connection.dialect.name in MYSQL and self._begin_as_xa(name, connection)
        if begins_as_xa or name in self._databases.replicas:
            self._listen(connection)
        self._listen_to_all()

    def forget(self) -> None:
        self.connections.clear()
        self._writers.clear()
        self._branches.clear()
        self._listened.clear()
        self._transaction = None
        self._hooked = False
        if self._files is not None:
            self._files.forget()

    def _prepare_to_write(self, name: str) -> bool:
        """Whether something is about to be written: outside of its greenlet, an async session is only asked where."""
        if self._asyncio and not in_greenlet():
            return False
        if self._databases.is_taken_over:
            return True
        keep_decisions_in_file(self._databases, name, asyncio=self._asyncio)
        if tables := tables_without_transactions(self._databases, name, asyncio=self._asyncio):
            self._fixed_at_once[name] = tables
        return True

    def _begin_as_xa(self, name: str, connection: Connection) -> bool:
        """Where another database may have to be the coordinator: later it is too late."""
        if not self._atomic or self._databases.is_taken_over:
            return False
        if name not in self._databases or not begins_as_xa(self._databases, name, asyncio=self._asyncio):
            return False
        if len(name) > XA_LIMIT:
            raise AtomicityError(
                f"{name!r} is too long a name for a commit over several databases: MySQL takes {XA_LIMIT} bytes. Give "
                "the database, its shard or the tenant a shorter one, or commit one after the other: atomic=False.",
                [name],
            )
        self._transaction = self._transaction or new_transaction()
        branch = self._branches[name] = Xid(self._databases.app, self._transaction, name)
        mysql.begin(connection, branch)

        @event.listens_for(connection, "rollback")
        def when_rolling_back(_: Connection) -> None:
            if self._branches.get(name) is branch and not connection.invalidated:
                del self._branches[name]
                mysql.roll_back(connection, branch)

        return True

    def _listen_to_all(self) -> None:
        """As soon as there are several and one of them may write. Where all only read, SQLAlchemy may commit them."""
        if len(self.connections) > 1 and (not self._atomic or any(map(self._is_writer, self.connections))):
            for each in self.connections.values():
                self._listen(each)

    def _listen(self, connection: Connection) -> None:
        """SQLAlchemy commits connections in arbitrary order: when it reaches the first one, commit all in our way."""
        if connection not in self._listened:
            self._listened.add(connection)
            event.listen(connection, "commit", self._commit)

    def _commit(self, _: Connection) -> None:
        if not self.connections:  # it was done when the first one's turn came
            return
        participants, transaction = self._participants(), self._transaction
        self.connections.clear()
        self._branches.clear()
        try:
            self._commit_or_roll_back(participants, transaction)
        except BaseException as error:
            self._note_positions(participants, error)
            roll_back(participants)  # what nobody has ended so far: no pool may get it back like that
            raise
        else:
            self._note_positions(participants)
        finally:
            for each in participants:
                is_over(each.connection)

    def _commit_or_roll_back(self, participants: list[Participant], transaction: str | None) -> None:
        if self._atomic and participants and not self._databases.is_taken_over:
            self._check_journals(participants)
            commit_together(self._databases, participants, transaction=transaction, asyncio=self._asyncio)
        elif self._atomic and observers and len(participants) > 1:
            raise ConfigurationError(
                "fail_at() cannot strike inside rollback(): nothing can be prepared in a transaction that never "
                "commits, so the commits there are not atomic. Run this test without rollback()."
            )
        elif len(participants) == 1:
            commit_at_once(participants[0])
        else:
            commit_in_order(participants)

    def _note_positions(self, participants: list[Participant], error: BaseException | None = None) -> None:
        """What is committed, or may be, and where its log stands; where nobody can tell, reads stay on the primary."""
        perhaps = error is None or is_lost(error) or isinstance(error, (InDoubtError, PartialCommitError))
        if isinstance(error, NotCommitted):
            return
        points: dict[str, Point] = {}
        for each in participants:
            for name in each.names:
                written = each.tells or name != each.name
                if each.writes and name in self._databases.replicas.simulated and perhaps:
                    points[name] = self._databases.replicas.simulated[name].commit()
                elif written and name in self._databases.replicas and (each.point is not None or perhaps):
                    points[name] = each.point or OnPrimary()
        if points:
            self.position = self.position.merge(Position(points))
            for name, point in points.items():
                self._databases.replicas[name].log.note(point, time.monotonic())

    def _check_journals(self, participants: list[Participant]) -> None:
        if self._files is None:
            return
        try:
            for each in participants:
                self._files.check_journals(each.files)
        except BaseException:
            roll_back(participants)
            raise

    def _participants(self) -> list[Participant]:
        """In the order of their declaration."""
        declared = [name for name in self._databases.names if name in self.connections]
        return [self._participant(name) for name in dict.fromkeys([*declared, *self.connections])]

    def _participant(self, name: str) -> Participant:
        """Of several files on one connection, the first that was written anyway keeps the decision."""
        together = [name] if self._files is None else self._files.groups.get(name, [name])
        written = [each for each in together if self._is_writer(each)]
        connection, branch = self.connections[name], self._branches.get(name)
        if self._files is None or not written or written[0] == name:
            tells = bool(written) and name in self._databases.replicas and not self._databases.is_taken_over
            return Participant(name, connection, bool(written), branch, tuple(written), tells=tells)
        schema = self._files.schemas[written[0]]
        return Participant(written[0], connection, files=tuple(written), schema=schema)

    def _is_writer(self, name: str) -> bool:
        return self._hooked or name in self._writers or name not in self._databases
