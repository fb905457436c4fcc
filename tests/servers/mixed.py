"""PostgreSQL, MariaDB and SQLite under one session, through every driver: what the tests of sessions on servers use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import URL

from tests.sessions import Async, SessionKind, Sync


@dataclass(frozen=True)
class Drivers:
    """A kind of session, and the drivers through which it reaches the servers."""

    kind: SessionKind
    postgresql: str
    mariadb: str
    sqlite: str

    def __str__(self) -> str:
        return f"{'async' if self.kind.asyncio else 'sync'}-{self.postgresql}-{self.mariadb}"


DRIVERS = [
    Drivers(Sync(), "psycopg", "pymysql", "pysqlite"),
    Drivers(Sync(), "psycopg2", "mysqlconnector", "pysqlite"),
    Drivers(Async(), "asyncpg", "asyncmy", "aiosqlite"),
    Drivers(Async(), "psycopg", "aiomysql", "aiosqlite"),
]

every_driver: Callable[[Any], Any] = pytest.mark.parametrize("drivers", DRIVERS, ids=str)


@dataclass(frozen=True)
class Urls:
    """Fresh databases of each kind, to be reached through these drivers."""

    drivers: Drivers
    given: dict[str, URL]

    def __getitem__(self, backend: str) -> URL:
        scheme = "mysql" if backend == "mariadb" else backend
        return self.given[backend].set(drivername=f"{scheme}+{getattr(self.drivers, backend)}")
