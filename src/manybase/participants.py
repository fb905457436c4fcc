"""Participants: the connections of a transaction, what each has done, and what each can promise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from manybase import decision
from manybase.coordinators import identity_of
from manybase.engines import Databases, needs_tenant
from manybase.errors import AtomicityError, ConfigurationError
from manybase.gid import Xid
from manybase.position import Point
from manybase.tenants import AT
from manybase.twophase import postgresql

MYSQL = ("mysql", "mariadb")


@dataclass(eq=False)
class Participant:
    """One connection of a transaction: of one database, or of several SQLite files, which commit together.

    ``writes``: not proven to have only read. ``xid``: its transaction began as XA, so that it can be prepared.
    ``ended``: committed, rolled back, or prepared and then ended: the connection is ready for others.
    """

    name: str
    connection: Connection
    writes: bool = True
    xid: Xid | None = None
    files: tuple[str, ...] = ()
    """The SQLite files that were written on this connection, where it holds several."""
    schema: str | None = None
    """Where in this connection the decision table of ``name`` is, if not in its main database."""
    ended: bool = False
    tells: bool = False
    """Its database has replicas: where its log stands after the commit is asked, and is its ``point``."""
    point: Point | None = None

    def note_point(self, point: Point | None) -> None:
        """None: the server says that nothing was written."""
        self.point, self.tells = point, point is not None

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name

    @property
    def names(self) -> tuple[str, ...]:
        return self.files or (self.name,)


def is_volatile(url: URL) -> bool:
    """Whether what it holds ends with the process: atomicity has nothing to protect there."""
    if url.get_backend_name() != "sqlite":
        return False
    return (
        url.database in (None, "", ":memory:")
        or "mode=memory" in str(url.database)
        or url.query.get("mode") == "memory"
    )


def has_begun(connection: Connection) -> bool:
    """Whether there is anything to commit, as far as the driver knows: nothing is asked over a wire.

    PostgreSQL answers PREPARE without a transaction as it does after an error, with ROLLBACK.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return bool(getattr(driver, "in_transaction", True))
    if connection.dialect.driver == "asyncpg":
        return bool(driver.is_in_transaction())
    if connection.dialect.driver in ("psycopg", "psycopg_async", "psycopg2"):
        return bool(driver.info.transaction_status != 0)
    return True


def choose_coordinator(databases: Databases, writers: Sequence[Participant], *, asyncio: bool) -> Participant:
    """The one that decides, in its own transaction: who cannot prepare, else MySQL or MariaDB, else PostgreSQL; the
    part of a tenant only where there is no other.

    Raises ``AtomicityError`` where more than one cannot prepare.
    """
    unable = {each: why for each in writers if (why := why_unable(databases, each, asyncio=asyncio)) is not None}
    if len(unable) > 1:
        reasons = " ".join(unable.values())
        raise AtomicityError(
            f"One commit cannot be atomic over {' and '.join(', '.join(each.names) for each in unable)}: of all that "
            f"were written, only one may be unable to prepare. {reasons} Or commit one after the other, knowing that "
            "it can tear: atomic=False.",
            [name for each in unable for name in each.names],
        )
    plain = [each for each in writers if AT not in each.name]  # their decisions are found without knowing any tenant
    mysql = [each for each in writers if each.dialect in MYSQL]
    ranked = [*unable, *(each for each in mysql if each in plain), *plain, *mysql, *writers]
    coordinator = ranked[0]
    if coordinator.name not in databases or coordinator.dialect not in decision.BY_DIALECT:
        raise AtomicityError(
            f"{coordinator.name!r} cannot prepare, and cannot keep the decision for the others either: "
            f"{unable[coordinator]} Commit it in a session of its own, or one after the other: atomic=False.",
            coordinator.names,
        )
    return coordinator


def why_unable(databases: Databases, participant: Participant, *, asyncio: bool) -> str | None:
    """Why a participant cannot prepare, and what would help; None where it can."""
    name = participant.name
    if name not in databases:
        return f"{name!r} is not declared: nobody could recover it."
    if participant.dialect in MYSQL:
        return None if participant.xid is not None else f"{name!r} began without XA; the next transaction will use it."
    if participant.dialect == "postgresql":
        if max_prepared(databases, name, asyncio=asyncio):
            return None
        return f"{name!r} has max_prepared_transactions = 0: set it to at least its max_connections and restart it."
    if participant.dialect == "sqlite":
        return (
            f"{', '.join(map(repr, participant.names))}: SQLite has no two-phase commit, and its files commit together "
            "on one connection only: they get it by statements that name tables, before any text() or connection(), "
            "eleven files at most."
        )
    return f"{name!r}: manybase knows no two-phase commit for {participant.dialect}."


def max_prepared(databases: Databases, name: str, *, asyncio: bool) -> int:
    """How many transactions the PostgreSQL server of a database keeps prepared at a time."""

    def ask() -> int:
        with databases.beside(name, asyncio=asyncio) as connection:
            return postgresql.slots(connection)

    return databases.learned.get(("max_prepared_transactions", name), ask)


def begins_as_xa(databases: Databases, name: str, *, asyncio: bool) -> bool:
    """Whether a transaction of this MySQL must begin as XA: whether another database would be its coordinator."""
    if AT in name:
        return any(other.name != name.partition(AT)[0] and backend_of(databases, other.name) for other in databases)
    before = True
    for other in databases:
        if other.name == name:
            before = False
            continue
        backend = backend_of(databases, other.name)
        if other.name in databases.tenants and needs_tenant(other):
            outranks = backend is not None and backend not in MYSQL  # it may be unable to prepare
        elif backend == "postgresql":
            outranks = cannot_prepare(databases, other.name, asyncio=asyncio)
        elif backend in MYSQL:
            outranks = before
        else:
            outranks = backend is not None
        if outranks:
            return True
    return False


def cannot_prepare(databases: Databases, name: str, *, asyncio: bool) -> bool:
    try:
        return max_prepared(databases, name, asyncio=asyncio) == 0
    except Exception:  # it does not answer: then it takes no part in this transaction either
        return False


def backend_of(databases: Databases, name: str) -> str | None:
    """What a database is that outlives the process; None for one in memory, and where there is no URL."""
    url = url_of(databases, name)
    return None if url is None or is_volatile(url) else url.get_backend_name()


def is_in_memory(databases: Databases, name: str) -> bool:
    """Whether no other process or thread finds the same database there."""
    url = url_of(databases, name)
    return url is not None and is_volatile(url)


def url_of(databases: Databases, name: str) -> URL | None:
    database = databases[name]
    if database.engine is not None:
        engine: Engine | Any = database.engine
        url: URL = engine.url
        return url
    try:
        return database.resolve_url()
    except ConfigurationError:
        return None


def keep_decisions_in_file(databases: Databases, name: str, *, asyncio: bool) -> None:
    """Before a SQLite file is first written, beside servers: have its decision table there.

    Later the transaction itself locks the file, and nobody else can create it.
    """
    if backend_of(databases, name) != "sqlite":
        return
    if all(is_sqlite(databases, other.name) for other in databases):
        return  # SQLite files commit in one transaction, or not at all
    with suppress(AtomicityError, SQLAlchemyError):  # then the commit says so, if it needs it
        identity_of(databases, name, asyncio=asyncio)


def is_sqlite(databases: Databases, name: str) -> bool:
    url = url_of(databases, name)
    return url is not None and url.get_backend_name() == "sqlite"
