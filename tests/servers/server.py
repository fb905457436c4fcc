"""A database server for tests: fresh databases on it, and, when it is ours, kills and restarts."""

import contextlib
import functools
import signal
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from tests.servers.process import ServerProcess

USER = "manybase"
PASSWORD = "s3cret!"  # tests look for this word where no password may appear
PREFIX = "manybase_test_"


class ServerNotPrivate(Exception):
    """The server was given by its URL: it is somebody else's, and is neither killed nor stopped."""


@dataclass(frozen=True, kw_only=True)
class Server(ABC):
    """A running server. Its URLs name the backend only, so that whoever gets one chooses the driver."""

    address: URL
    origin: str
    process: ServerProcess | None
    """None: the server is not ours."""

    driver: ClassVar[str]
    gentle: ClassVar[signal.Signals]
    """The signal on which the server ends its sessions, writes everything, and goes."""

    def url(self, database: str) -> URL:
        return self.address.set(database=database)

    def create_database(self) -> URL:
        """The URL of a new, empty database that no other test has."""
        name = f"{PREFIX}{uuid.uuid4().hex[:16]}"
        with self.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: URL) -> None:
        """The database is gone, with the sessions and the prepared transactions that tests left in it."""
        name = url.database
        if name is None or not name.startswith(PREFIX):
            raise ValueError(f"Database {name!r} was not made by create_database(), so it is not dropped.")
        with self.connect() as connection:
            self._clear(connection, name)
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")

    @contextlib.contextmanager
    def connect(self, database: str | None = None) -> Iterator[Connection]:
        """A connection in autocommit, for what tests do to the server from outside."""
        engine = self._engine if database is None else _engine(self.url(database), self.driver)
        with engine.connect() as connection:
            yield connection

    @property
    def running(self) -> bool:
        return self.process is None or self.process.running

    @property
    def pid(self) -> int:
        return self._own().pid

    def start(self) -> None:
        """The server answers: the same port, the same data. Nothing happens if it runs already."""
        self._own().start()
        self.wait_until_it_answers()

    def stop(self, how: signal.Signals | None = None) -> None:
        self._own().stop(how or self.gentle)

    def kill(self) -> None:
        """SIGKILL for the server and all its processes; what it had committed is there after `start()`."""
        self._own().kill()

    def close(self) -> None:
        """The server is stopped for good and its data are gone, unless it is somebody else's."""
        if self.process is not None:
            self.process.close()

    def wait_until_it_answers(self, *, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.connect():
                    return
            except DBAPIError as error:
                if time.monotonic() > deadline or not self.running or self.process is None:
                    raise RuntimeError(self._silence()) from error
            time.sleep(0.02)

    @abstractmethod
    def _clear(self, connection: Connection, database: str) -> None:
        """Whatever would keep DROP DATABASE from succeeding at once is ended."""

    @functools.cached_property
    def _engine(self) -> Engine:
        return _engine(self.address, self.driver)

    def _own(self) -> ServerProcess:
        if self.process is None:
            raise ServerNotPrivate(f"{self.origin} names a server that is not ours to start, stop or kill.")
        return self.process

    def _silence(self) -> str:
        if self.process is None:
            return f"The server that {self.origin} names does not answer: {self.address!r}."
        state = "does not answer" if self.running else "ended"
        return f"The server {state} ({self.origin}). Its log ends with:\n{self.process.log_tail()}"


def _engine(url: URL, driver: str) -> Engine:
    # No pool: a connection from before a kill must not be met after it.
    return create_engine(url.set(drivername=driver), isolation_level="AUTOCOMMIT", poolclass=NullPool)
