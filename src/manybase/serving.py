"""Serving: who serves the reads of a replica session, one connection per transaction and database."""

from __future__ import annotations

import asyncio as aio
import time
from functools import partial
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.util import await_only

from manybase import packets, replication
from manybase.concurrency import Uninterrupted
from manybase.engines import Databases
from manybase.errors import NoReplica, ReadOnlyError
from manybase.looking import look_beside
from manybase.position import OnPrimary, Point, Position
from manybase.reading import REPLICA, may_write, refusing
from manybase.replicas import LOOK_EVERY, Replica, ReplicaSet
from manybase.replication import postgresql
from manybase.replication.silence import is_gone, tells_when_gone
from manybase.wire import is_over, sqlstate, wrapped

LOOK_TIMEOUT = 2.0  # seconds that a session may spend on a replica that is out, to see whether it is back
PAUSES = (0.0003, 0.0005, 0.0008, 0.0012, 0.002, 0.003, 0.005)  # seconds between two questions
CHECKED = "manybase.checked"
PASSING = ("40001", "40P01", "57014")  # what is replayed came into the question's way, or a timeout of the user's did
REFUSES = "_manybase_refuses"
GONE = (OperationalError, InterfaceError, InternalError, OSError)


class Serving:
    """Gives a replica session its connections: of a replica that has what the session must see, else of the primary.

    One that it has given serves until the transaction ends. They are read only on the server.
    """

    def __init__(self, databases: Databases, after: Position, *, asyncio: bool) -> None:
        self.after = after
        self._databases = databases
        self._asyncio = asyncio
        self._connections: dict[str, Connection] = {}
        self._in_use: list[Replica] = []
        self._begun: set[Connection] = set()
        self._unknown: set[str] = set()  # databases to which somebody may send what nobody has seen

    def connection(self, name: str) -> Connection:
        """The one connection to a database in this transaction."""
        connection = self._connections.get(name)
        if connection is None or connection.closed:
            connection = self._connections[name] = self._connect_to(name)
        if name in self._unknown:
            self._watch(connection)
        return connection

    def note_write(self, name: str, clause: Any) -> None:
        """What is about to run is not proven to read only. ``ReadOnlyError`` where it shows that it does not.

        Without a clause, somebody wants the connection for what is not known yet.
        """
        if clause is None:
            self._unknown.add(name)
        elif may_write(clause, locks=True):
            raise ReadOnlyError(REPLICA)

    def _connect_to(self, name: str) -> Connection:
        connection = None
        if name in self._databases.replicas.simulated:
            connection = self._of_simulated(name)
        elif name in self._databases.replicas:
            connection = self._of_replica(name)
        return connection or self._of_primary(name)

    def holds(self, connection: Connection) -> bool:
        return connection in self._connections.values()

    def release(self) -> None:
        """The transaction has ended: the connections go back to their pools."""
        self._unknown.clear()
        if not self._connections and not self._begun:
            return
        connections, self._connections = self._connections, {}
        begun, self._begun = self._begun, set()
        in_use, self._in_use = self._in_use, []
        for replica in in_use:
            replica.in_use -= 1
        for connection in connections.values():
            if connection.closed:
                continue
            if connection.dialect.name == "sqlite":  # elsewhere it ends with the transaction, or SQLAlchemy does it
                replication.end_read_only(connection)
            if connection in begun and not connection.in_transaction():
                is_over(connection)  # the pool need not roll back once more
            connection.close()

    def begin(self, connection: Connection, *, hooked: bool) -> None:
        """A connection of this session has begun. ``hooked``: somebody else has got hold of it, and may write."""
        self._begun.add(connection)
        if hooked or not self.holds(connection):
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Refuse the writes that are sent to the connection itself: those of the session are known before they go."""
        if not vars(connection).get(REFUSES):
            vars(connection)[REFUSES] = True  # one that is shared may come again, with a savepoint
            event.listen(connection, "before_execute", refusing(REPLICA, self._databases.router, locks=True))

    def _of_replica(self, name: str) -> Connection | None:
        """None where the primary is to serve. Raises ``NoReplica`` where it is not to, and nobody else can."""
        replicas, point = self._databases.replicas[name], self.after.points.get(name)
        if point is not None and point.is_in(None):
            point = None
        if isinstance(point, OnPrimary):
            replicas.served["pinned"] += 1
            return None
        if not self._databases.replicas.watched and (out := replicas.take_due(time.monotonic())) is not None:
            self._look_at(out, replicas)
        tried: list[Replica] = []
        while (replica := replicas.choose(point, tried)) is not None:
            tried.append(replica)
            connection = self._connect(replica)
            if connection is None:
                continue
            try:
                serves = self._check(connection, replicas, replica, point)
            except BaseException:
                connection.close()
                raise
            if serves:
                replica.in_use += 1
                self._in_use.append(replica)
                replicas.served["replica"] += 1
                return connection
            give_back(connection)
        lives = any(each.serves for each in tried)
        if not lives and not replicas.fallback:
            raise NoReplica(name, replicas.states)
        replicas.served["not replayed" if lives else "no replica"] += 1
        return None

    def _of_simulated(self, name: str) -> Connection | None:
        """Of a replica that a test lets be behind."""
        simulation, point = self._databases.replicas.simulated[name], self.after.get(name)
        has_it = point is None or point.is_in(simulation.replayed)
        self._databases.replicas[name].served["replica" if has_it else "not replayed"] += 1
        older = simulation.older if has_it else None
        return None if older is None else self._databases.aside(older, asyncio=self._asyncio).connect()

    def _connect(self, replica: Replica) -> Connection | None:
        """None where it does not answer; it is out from then on."""
        bind: Any = self._databases.bind(replica.name, asyncio=self._asyncio)
        try:
            connection: Connection = bind.connect()
            while CHECKED in connection.info and is_lost_in_pool(connection):
                connection.invalidate()  # the pool may have more of them; the first new one tells how the server is
                connection.close()
                connection = bind.connect()
        except GONE:
            replica.note_failure(time.monotonic())
            return None
        if replica.is_theirs:
            replication.begin_read_only(connection)
        return connection

    def _of_primary(self, name: str) -> Connection:
        bind: Any = self._databases.bind(name, asyncio=self._asyncio)
        connection: Connection = bind.connect()
        if self._databases.is_taken_over:  # it is in a transaction of the test's
            return connection
        try:
            replication.begin_read_only(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, connection.dialect.loaded_dbapi.Error):
                raise wrapped(connection, "BEGIN", error) from error
            raise
        return connection

    def _check(self, connection: Connection, replicas: ReplicaSet, replica: Replica, point: Point | None) -> bool:
        """Whether it is fit to serve, and has replayed the point."""
        if knows(connection, replica, point):
            return True
        try:
            return Check(self, connection, replicas, replica, point).passes()
        except Exception as error:
            if not isinstance(error, connection.dialect.loaded_dbapi.Error) and not isinstance(error, GONE):
                raise
            if sqlstate(error) in PASSING:
                return False
            replica.note_failure(time.monotonic())
            connection.invalidate(error)
            return False

    def pause(self, seconds: float) -> None:
        if self._asyncio:
            await_only(aio.sleep(seconds))
        else:
            time.sleep(seconds)

    def _look_at(self, replica: Replica, replicas: ReplicaSet) -> None:
        """At one that is out. Where no background task does that, the sessions do, one of them now and then."""
        steps = Uninterrupted(asyncio=self._asyncio)
        look = partial(look_beside, self._databases, replicas, replica, asyncio=self._asyncio)
        steps.run([look], LOOK_TIMEOUT)
        if steps.interruption is not None:
            raise steps.interruption


def is_lost_in_pool(connection: Connection) -> bool:
    try:
        return is_gone(connection, connection.info)
    except BaseException:
        connection.close()
        raise


def give_back(connection: Connection) -> None:
    """To its pool, which would log a traceback where the server has ended the connection: a replay may do that."""
    try:
        if not connection.invalidated:
            connection.dialect.do_rollback(connection.connection)
            is_over(connection)
    except Exception as error:
        connection.invalidate(error)
    finally:
        connection.close()


def knows(connection: Connection, replica: Replica, point: Point | None) -> bool:
    """Whether nothing need be asked: this server was looked at lately, and has replayed the point."""
    now, info = time.monotonic(), connection.info
    instance = info.get(replication.INSTANCE)
    if instance is None or now - replica.looked > LOOK_EVERY:
        return False
    if point is not None and not point.is_in(replica.replayed.get(instance[0])):
        return False
    return now - info.get(CHECKED, 0.0) <= LOOK_EVERY or tells_when_gone(connection)


class Check:
    """What is asked of one replica before it serves a transaction where that is not known, in one packet if it can."""

    def __init__(
        self, serving: Serving, connection: Connection, replicas: ReplicaSet, replica: Replica, point: Point | None
    ) -> None:
        self.serving = serving
        self.connection = connection
        self.replicas = replicas
        self.replica = replica
        self.point = point

    def passes(self) -> bool:
        now = time.monotonic()
        instance = replication.instance_of(self.connection)
        if instance is None or now - self.replica.looked > LOOK_EVERY:
            return self._look(now)
        if self.point is not None and not self.point.is_in(self.replica.replayed.get(instance)):
            return self._ask(replication.begin_statement(self.connection))
        self._replayed(None)  # whether the server is there at all
        return True

    def _look(self, now: float) -> bool:
        """All that there is to know; of a server met for the first time, or again after a while."""
        found = replication.look(self.connection)
        self.connection.info[CHECKED] = now
        self.replica.note(found, self.replicas.log, self.replicas.max_lag, now)
        self._end_question()
        if not self.replica.serves:
            return False
        if self.point is None or self.point.is_in(found.replayed):
            return True
        return self._ask(replication.begin_statement(self.connection))

    def _ask(self, begin: str | None) -> bool:
        """Whether the point is replayed by now, or within the time that it pays to wait."""
        assert self.point is not None
        replayed = self._replayed(begin)
        if self.point.is_in(replayed):
            return True
        if replayed is None:  # promoted, perhaps, or it has lost its primary
            self.replica.looked = 0.0
            return False
        return self._wait(self.point)

    def _wait(self, point: Point) -> bool:
        started = time.monotonic()
        patience = self.replica.wait(started)
        if not patience:
            return False
        if replication.wait_on_server(self.connection, point, patience):
            reached = point.is_in(self._replayed(None))
        else:
            reached = self._poll(point, started + patience)
        self.replica.note_wait(time.monotonic() - started, reached=reached)
        return reached

    def _poll(self, point: Point, until: float) -> bool:
        for turn in range(1_000):
            self.serving.pause(PAUSES[min(turn, len(PAUSES) - 1)])
            replayed = self._replayed(None)
            if replayed is None or point.is_in(replayed):
                return replayed is not None
            if time.monotonic() > until:
                return False
        return False

    def _replayed(self, begin: str | None) -> Point | None:
        replayed = self._begin_and_ask(begin) if begin is not None else replication.replayed(self.connection)
        self.connection.info[CHECKED] = time.monotonic()
        if begin is None:
            self._end_question()
        instance = replication.instance_of(self.connection)
        if replayed is not None and instance is not None:
            self.replica.note_replayed(instance, replayed)
        return replayed

    def _begin_and_ask(self, begin: str) -> Point | None:
        answers = packets.send(self.connection, f"{begin}; {postgresql.REPLAYED}")
        for each in answers:
            if each.error is not None:
                raise each.error
        row = answers[-1].row
        assert row is not None
        return postgresql.replayed(row, self.connection.info[replication.INSTANCE][1])

    def _end_question(self) -> None:
        """Where the driver has begun a transaction for the question whose snapshot is too old, it is ended."""
        level = self.connection.get_execution_options().get("isolation_level") or self._declared_level()
        if not packets.can_send(self.connection.dialect) and replication.has_early_snapshot(self.connection, level):
            self.connection.dialect.do_rollback(self.connection.connection)

    def _declared_level(self) -> str | None:
        found = self.serving._databases.options_of(self.replica.name).get("isolation_level")
        return found if isinstance(found, str) else None
