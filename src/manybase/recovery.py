"""Recovery: find what atomic commits have left prepared, ask the coordinator of each how it ended, and end it.

Any process may do it at any time, several at once too: the primary key of the decision table decides between them and
a coordinator that still lives. Age is politeness towards that one, not safety.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.util import greenlet_spawn

from manybase import decision, twophase
from manybase.database import TENANT
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.gid import Gid, Xid
from manybase.participants import MYSQL, backend_of
from manybase.parts import base_of, is_of_many, unit_of, units
from manybase.refusals import is_conflict
from manybase.servers import on_server
from manybase.tenants import AT
from manybase.twophase import mysql, postgresql

MIN_AGE = 60.0  # seconds for which a commit is left to the process that began it
IMPOLITE = 10  # times that age: then somebody's turn has lasted too long, as behind a pooler that keeps the lock
TURN = 0x6D616E79  # "many": the first half of the key of our advisory locks
Prepared = set[tuple[str, str]]
Ended = Literal["committed", "rolled back", "left"]


@dataclass(frozen=True)
class InDoubt:
    """A transaction that is prepared in ``database`` and not ended there, for ``age`` seconds.

    ``decided`` is what its coordinator says, None where that has decided nothing yet or cannot be asked; ``why`` then
    says why not.
    """

    transaction_id: str
    database: str
    coordinator: str | None
    age: float
    decided: decision.Outcome | None = None
    why: str = ""


@dataclass(frozen=True)
class Resolution:
    """How a transaction in doubt ended in ``database``; ``why`` it was left, where it was."""

    transaction_id: str
    database: str
    ended: Ended
    why: str = ""


@dataclass
class Report:
    """What one pass of recovery has done. ``unreachable``: databases that did not answer."""

    resolutions: list[Resolution] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    forgotten: int = 0

    @property
    def left(self) -> list[Resolution]:
        return [each for each in self.resolutions if each.ended == "left"]


def resolve(
    databases: Databases,
    transaction_id: str | None = None,
    *,
    min_age: float = MIN_AGE,
    polite: bool = False,
    asyncio: bool = False,
) -> Report:
    """End all transactions that have been in doubt for ``min_age`` seconds; a named one, whatever its age.

    Touches nothing but what these ``databases`` prepared under their ``app``, only on primaries, and only where the
    coordinator is declared, answers, and is the one it was: everything else is left, with the reason. ``polite``: also
    what somebody else is about to end in the same database.
    """
    return Pass(databases, transaction_id, min_age, polite=polite, asyncio=asyncio).run()


async def aresolve(
    databases: Databases, transaction_id: str | None = None, *, min_age: float = MIN_AGE, polite: bool = False
) -> Report:
    """As ``resolve``, under asyncio."""
    return await greenlet_spawn(resolve, databases, transaction_id, min_age=min_age, polite=polite, asyncio=True)


def in_doubt(databases: Databases, *, asyncio: bool = False) -> list[InDoubt]:
    """What is prepared and not ended, oldest first. Nothing changes; a database that does not answer is passed over."""
    found: list[InDoubt] = []
    this = Pass(databases, None, 0, asyncio=asyncio)
    for name in this.two_phase:
        with suppress(SQLAlchemyError, OSError):
            found.extend(this.doubts(name))
    return sorted(found, key=lambda each: -each.age)


async def ain_doubt(databases: Databases) -> list[InDoubt]:
    """As ``in_doubt``, under asyncio."""
    return await greenlet_spawn(in_doubt, databases, asyncio=True)


class Left(Exception):
    """Why a transaction stays in doubt for now."""


class Pass:
    """One pass over all databases."""

    def __init__(
        self, databases: Databases, transaction: str | None, min_age: float, *, polite: bool = False, asyncio: bool
    ) -> None:
        self.databases = databases
        self.transaction = transaction
        self.min_age = min_age
        self.polite = polite
        self.asyncio = asyncio
        self.report = Report()
        self.asked: set[str] = set()  # parts that have coordinated something

    @property
    def two_phase(self) -> list[str]:
        """The databases that may have prepared something; one that each tenant has his own of counts once for each
        server."""
        names = self.databases.names
        able = [each for each in names if backend_of(self.databases, each) in ("postgresql", *MYSQL)]
        return [unit for name in able for unit in units(self.databases, name)]

    def places_in(self, unit: str, *, due: bool = False) -> list[str]:
        """Where to look: a server that has a database for each tenant tells in which of them something is prepared."""
        if not is_of_many(self.databases, unit):
            return [unit]
        found = self._prepared_on_server(unit) or []
        return sorted({each.participant for each, age in found if not due or self._is_due(each, age)})

    def _prepared_on_server(self, unit: str) -> list[tuple[Gid | Xid, float]] | None:
        """All that is prepared in the parts that one server has; None where that is not for us to end."""
        if TENANT in (self.databases[unit].resolve_url().host or ""):
            return self._prepared_everywhere(unit)
        with on_server(self.databases, unit, asyncio=self.asyncio) as connection:
            if not is_primary(connection):
                return None
            mine = connection.dialect.name in MYSQL
            listed: Any = mysql.prepared if mine else postgresql.prepared_on_server
            every: list[tuple[Gid | Xid, float]] = list(listed(connection, self.databases.app))
        return [(each, age) for each, age in every if self._is_in(unit, each.participant)]

    def _prepared_everywhere(self, unit: str) -> list[tuple[Gid | Xid, float]]:
        """As above, where each tenant has a server."""
        base = base_of(unit)
        found: list[tuple[Gid | Xid, float]] = []
        for tenant, shard in list(self.databases.tenants.names(base, self.databases, asyncio=self.asyncio)):
            name = self.databases.tenants.placed(base, tenant, shard).name
            if unit_of(self.databases, name) == unit:
                with self.connected(name) as connection:
                    found += self._prepared_in(name, connection) if is_primary(connection) else []
        return found

    def _is_in(self, unit: str, participant: str) -> bool:
        return participant in self.databases and participant != unit and unit_of(self.databases, participant) == unit

    def run(self) -> Report:
        for name in self.two_phase:
            self.visit(name)
        if self.transaction is None:
            self.forget()
        return self.report

    def visit(self, unit: str) -> None:
        at = unit
        try:
            for at in self.places_in(unit, due=True):
                with self.connected(at) as connection:
                    self._resolve_in(at, connection)
        except (SQLAlchemyError, OSError, TimeoutError):
            self.report.unreachable.append(at)

    def doubts(self, unit: str) -> list[InDoubt]:
        found: list[InDoubt] = []
        for name in self.places_in(unit):
            with self.connected(name) as connection:
                found += self.described(name, connection)
        return found

    @contextmanager
    def connected(self, name: str) -> Iterator[Connection]:
        if backend_of(self.databases, name) not in decision.BY_DIALECT:
            raise ConfigurationError(f"manybase knows no two-phase commit for {name!r}.")
        with self.databases.beside(name, asyncio=self.asyncio) as connection:
            yield connection

    def described(self, name: str, connection: Connection) -> Iterator[InDoubt]:
        for each, age in self._prepared_in(name, connection):
            coordinator: str | None = None
            decided: decision.Outcome | None = None
            why = ""
            try:
                coordinator, identity = self._coordinator_of(each, connection)
                asked = partial(decision.outcome, transaction=each.transaction)
                decided = self._ask(coordinator, identity, asked)
            except Left as reason:
                why = str(reason)
            yield InDoubt(each.transaction, name, coordinator, age, decided, why)

    def _resolve_in(self, name: str, connection: Connection) -> None:
        if not is_primary(connection):
            return
        found = [(each, age) for each, age in self._prepared_in(name, connection) if self._is_due(each, age)]
        if not found:
            return
        with self._turn(name, connection) as ours:
            for each, age in found:
                if ours or age > IMPOLITE * self.min_age:
                    self.report.resolutions.append(self._resolve_one(name, connection, each))

    def _is_due(self, each: Gid | Xid, age: float) -> bool:
        return age >= self.min_age if self.transaction is None else each.transaction == self.transaction

    @contextmanager
    def _turn(self, name: str, connection: Connection) -> Iterator[bool]:
        """Whether nobody else who is polite is at it; in there, nobody else will be."""
        if not self.polite:
            yield True
            return
        take, give_back = turn(connection.dialect.name, self.databases.app, name)
        ours = bool(connection.exec_driver_sql(take).scalar())
        try:
            yield ours
        finally:
            if ours and not connection.invalidated:
                with suppress(SQLAlchemyError):
                    connection.exec_driver_sql(give_back)

    def _resolve_one(self, name: str, connection: Connection, each: Gid | Xid) -> Resolution:
        try:
            coordinator, identity = self._coordinator_of(each, connection)
            decided = self._ask(coordinator, identity, partial(decision.arbitrate, transaction=each.transaction))
            end = twophase.commit_prepared if decided == "commit" else twophase.roll_back_prepared
            if not end(connection, each):
                raise Left("somebody else is at it: the connection that prepared it, or another recovery")
        except Left as reason:
            return Resolution(each.transaction, name, "left", str(reason))
        except SQLAlchemyError as error:
            if connection.invalidated:
                raise
            return Resolution(each.transaction, name, "left", f"the server refused ({type(error).__name__})")
        return Resolution(each.transaction, name, "committed" if decided == "commit" else "rolled back")

    def _prepared_in(self, name: str, connection: Connection) -> list[tuple[Gid | Xid, float]]:
        listed: Callable[[Connection, str], Iterator[tuple[Gid | Xid, float]]]
        listed = mysql.prepared if connection.dialect.name in MYSQL else postgresql.prepared
        return [(each, age) for each, age in listed(connection, self.databases.app) if each.participant == name]

    def _coordinator_of(self, each: Gid | Xid, connection: Connection) -> tuple[str, str]:
        if isinstance(each, Gid):
            return each.coordinator, each.identity
        with suppress(SQLAlchemyError):
            found = decision.coordinator_of(connection, each.transaction, each.participant)
            if found is not None:
                return found
        raise Left("it is not of this database, or another application's: it carries no coordinator here")

    def _ask(
        self, coordinator: str, identity: str, question: Callable[[Connection], decision.Outcome | None]
    ) -> decision.Outcome | None:
        if coordinator not in self.databases:
            raise Left(f"its coordinator {coordinator!r} is not declared here")
        try:
            with self.connected(coordinator) as connection:
                if not is_primary(connection):
                    raise Left(f"its coordinator {coordinator!r} is a replica here")
                if AT in coordinator:
                    self.asked.add(coordinator)
                if decision.identity(connection) != identity:
                    raise Left(f"the database declared as {coordinator!r} is another one than its coordinator")
                return question(connection)
        except (SQLAlchemyError, OSError) as error:
            if isinstance(error, DBAPIError) and is_conflict(error):
                raise Left(f"it is being decided in {coordinator!r}, by a process that has not ended yet") from error
            raise Left(f"its coordinator {coordinator!r} does not answer") from error

    def forget(self) -> None:
        """Find the decisions that no participant needs any more: first read them, then look what is prepared.

        In the other order, a commit that came in between would be forgotten before it is finished.
        """
        homes = [unit for name in self.databases.names for unit in units(self.databases, name)]
        homes = [each for each in homes if not is_of_many(self.databases, each)]
        decided = {name: self._commits_of(name) for name in (*homes, *sorted(self.asked))}
        prepared = {name: self._still_prepared(name) for name in self.two_phase}
        for name, commits in decided.items():
            done = [
                transaction
                for transaction, participants in commits.items()
                if all(self._is_over(each, transaction, prepared) for each in participants)
            ]
            self._delete(name, done)

    def _is_over(self, participant: str, transaction: str, prepared: Mapping[str, Prepared | None]) -> bool:
        there = prepared.get(unit_of(self.databases, participant))
        return there is not None and (participant, transaction) not in there

    def _commits_of(self, name: str) -> dict[str, tuple[str, ...]]:
        with suppress(SQLAlchemyError, OSError, ConfigurationError), self.connected(name) as connection:
            if is_primary(connection) and decision.identity(connection) is not None:
                return decision.commits(connection, self.min_age)
        return {}

    def _still_prepared(self, unit: str) -> Prepared | None:
        """Participants and transactions; None where it cannot be told."""
        found: list[tuple[Gid | Xid, float]] | None = None
        with suppress(SQLAlchemyError, OSError, ConfigurationError):
            if is_of_many(self.databases, unit):
                found = self._prepared_on_server(unit)
            else:
                with self.connected(unit) as connection:
                    found = self._prepared_in(unit, connection) if is_primary(connection) else None
        return None if found is None else {(each.participant, each.transaction) for each, _ in found}

    def _delete(self, name: str, transactions: list[str]) -> None:
        with suppress(SQLAlchemyError, OSError, ConfigurationError), self.connected(name) as connection:
            if not is_primary(connection) or decision.identity(connection) is None:
                return
            for some in batches(transactions):
                decision.finish(connection, some)
                self.report.forgotten += len(some)
            decision.forget_old(connection)
            if connection.dialect.name in MYSQL:
                decision.forget_pointers(connection)


def is_primary(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return postgresql.is_primary(connection)
    return connection.dialect.name not in MYSQL or mysql.is_primary(connection)


def turn(dialect: str, app: str, name: str) -> tuple[str, str]:
    """SQL that tries for the right to end what is prepared in a database, and SQL that gives it back."""
    key = zlib.crc32(f"{app}:{name}".encode())
    if dialect == "postgresql":
        return (
            f"SELECT pg_try_advisory_lock({TURN}, {key - 2**31})",
            f"SELECT pg_advisory_unlock({TURN}, {key - 2**31})",
        )
    return f"SELECT get_lock('manybase.recovery.{key:08x}', 0)", f"SELECT release_lock('manybase.recovery.{key:08x}')"


def batches(transactions: list[str], size: int = 500) -> Iterator[Collection[str]]:
    for start in range(0, len(transactions), size):
        yield transactions[start : start + size]
