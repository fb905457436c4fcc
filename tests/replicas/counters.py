"""Counters: a table on a primary and its replica, and the question whether a read shows what was just written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest
from sqlalchemy import URL, Integer, MetaData, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases, Position, Session
from tests.servers.replicated import Replicated
from tests.sessions import Async, SessionKind, Sync

P_co = TypeVar("P_co", bound=Replicated, covariant=True)


class Base(DeclarativeBase):
    metadata = MetaData()


class Counter(Base):
    __tablename__ = "counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(Integer, default=0)


class OtherBase(DeclarativeBase):
    metadata = MetaData()


class Note(OtherBase):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)


@dataclass(frozen=True)
class Pair(Generic[P_co]):
    """A database on a primary, and the same one on its replica."""

    servers: P_co
    url: URL

    @property
    def backend(self) -> str:
        return self.url.get_backend_name()

    @property
    def url_on_replica(self) -> URL:
        return self.servers.url_on_replica(self.url)


@dataclass(frozen=True)
class Driver:
    """A kind of session, and the drivers through which it reaches each kind of server."""

    kind: SessionKind
    names: dict[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{'async' if self.kind.asyncio else 'sync'}-{'-'.join(self.names.values())}"


DRIVERS = [
    Driver(Sync(), {"postgresql": "psycopg", "mysql": "pymysql"}),
    Driver(Sync(), {"postgresql": "psycopg2", "mysql": "mysqlconnector"}),
    Driver(Async(), {"postgresql": "psycopg", "mysql": "aiomysql"}),
    Driver(Async(), {"postgresql": "asyncpg", "mysql": "asyncmy"}),
]
every_driver: Callable[[Any], Any] = pytest.mark.parametrize("driver", DRIVERS, ids=str)
both_kinds: Callable[[Any], Any] = pytest.mark.parametrize("driver", DRIVERS[::3], ids=str)


def declare(pair: Pair[Replicated], driver: Driver = DRIVERS[0], **options: Any) -> Databases:
    """The database, with its replica, through these drivers."""
    name = f"{pair.backend}+{driver.names[pair.backend]}"
    url, on_replica = pair.url.set(drivername=name), pair.url_on_replica.set(drivername=name)
    options.setdefault("replicas", [on_replica])
    return Databases(Database("shop", url, models=Base, **options))


def with_counter(session: Session) -> Session:
    session.add(Counter(id=1, value=0))
    session.commit()
    return session


def write(session: Session) -> int:
    """One more, committed: what a read must show from now on."""
    session.execute(update(Counter).values(value=Counter.value + 1))
    value = session.scalar(text("SELECT value FROM counters"))
    session.commit()
    assert value is not None
    return int(value)


def read(session: Session, **options: Any) -> int:
    """What a replica session sees."""
    with replica(session, **options) as reading:
        return int(reading.scalar(text("SELECT value FROM counters")) or 0)


def replica(session: Session, after: Position | None = None, **options: Any) -> Session:
    """A replica session over the same databases, for the same loop."""
    return Session(session.databases, role="replica", after=after, asyncio=session._asyncio, **options)


def stale_reads(session: Session, times: int, *, position: bool = True) -> int:
    """How often a read, immediately after a write, shows an older state."""
    stale = 0
    for _ in range(times):
        written = write(session)
        stale += read(session, after=session.position if position else None) < written
    return stale


def served(databases: Databases) -> dict[str, int]:
    """Who served the transactions of replica sessions."""
    return {who: count for who, count in databases.replicas["shop"].served.items() if count}
