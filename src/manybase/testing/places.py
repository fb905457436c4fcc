"""Places for the tables of a tenant that is there for a test: a file, a schema or a database, made and dropped."""

from __future__ import annotations

import asyncio as aio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from threading import Thread
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.schema import DropSchema
from sqlalchemy.util import greenlet_spawn

from manybase.connecting import make_async_engine, make_engine, unpooled
from manybase.database import Database
from manybase.errors import ConfigurationError
from manybase.schema import create_tables

LONGEST = 63
# Where one connects to make a database. To be dropped it waits for those who still use it, but not for ever.
MAINTENANCE = {"postgresql": "postgres", "mysql": "information_schema", "mariadb": "information_schema"}
IMPATIENT = {"postgresql": "SET lock_timeout = '10s'", "mysql": "SET lock_wait_timeout = 10"}
IMPATIENT["mariadb"] = IMPATIENT["mysql"]


def invented(tenant: str) -> str:
    """A name that nothing else has."""
    return f"manybase_test_{token_hex(4)}_{tenant}"[:LONGEST]


def folder() -> str:
    """A file that is to be, alone in a new folder."""
    return os.path.join(tempfile.mkdtemp(prefix="manybase-test-"), "tenant.db")


@dataclass(frozen=True)
class Place:
    """The database of ``declared``, or a ``schema`` in it."""

    declared: Database
    options: Mapping[str, Any]
    schema: str | None

    def make(self, tables: Sequence[Table]) -> None:
        if self.schema is None and self.backend != "sqlite":
            self._run(self._maintenance, lambda connection: self._execute(connection, "CREATE DATABASE {}"))
        self._run(self.declared, lambda connection: create_tables(connection, tables, self.schema))

    def drop(self) -> None:
        if self.schema is not None:
            self._run(self.declared, self._drop_schema)
        elif self.backend == "sqlite":
            shutil.rmtree(os.path.dirname(self.database), ignore_errors=True)
        else:
            force = " WITH (FORCE)" if self.backend == "postgresql" else ""
            drop = f"DROP DATABASE IF EXISTS {{}}{force}"
            self._run(self._maintenance, lambda connection: self._execute(connection, drop))

    @property
    def backend(self) -> str:
        return self.declared.resolve_url().get_backend_name()

    @property
    def database(self) -> str:
        return str(self.declared.resolve_url().database)

    @property
    def _maintenance(self) -> Database:
        if self.backend not in MAINTENANCE:
            raise ConfigurationError(
                f"tenant() cannot make a database on {self.backend}. Make one in the fixtures of your tests, and enter "
                "the tenant in its directory."
            )
        return self.declared.elsewhere(
            "maintenance", self.declared.resolve_url().set(database=MAINTENANCE[self.backend])
        )

    def _execute(self, connection: Connection, statement: str) -> None:
        quoted = connection.dialect.identifier_preparer.quote_identifier(self.database)
        connection.exec_driver_sql(statement.format(quoted))

    def _drop_schema(self, connection: Connection) -> None:
        dialect = connection.dialect.name
        if dialect in IMPATIENT:
            connection.exec_driver_sql(IMPATIENT[dialect])
        assert self.schema is not None
        connection.execute(DropSchema(self.schema, cascade=dialect == "postgresql", if_exists=True))

    def _run(self, declared: Database, job: Callable[[Connection], None]) -> None:
        """Beside all sessions, and also inside ``rollback()`` for good."""
        options = {**unpooled(self.options), "isolation_level": "AUTOCOMMIT"}
        if declared.engine is not None:
            raise ConfigurationError(f"tenant() needs the URL of {declared.name!r}, and it has an engine= of yours.")
        try:
            engine = make_engine(declared, options)
        except ConfigurationError:  # it has an async driver only
            in_loop_of_its_own(lambda: through(make_async_engine(declared, options).sync_engine, job))
        else:
            through(engine, job)


def through(engine: Any, job: Callable[[Connection], None]) -> None:
    with engine.connect() as connection:
        job(connection)


def in_loop_of_its_own(job: Callable[[], None]) -> None:
    """In a thread: here a loop may be running."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            aio.run(greenlet_spawn(job))
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, name="manybase test")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
