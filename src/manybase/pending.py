"""Pending: how many migrations a database lacks. Alembic is imported only where a program has migrations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from manybase.database import Database
from manybase.engines import Databases
from manybase.participants import backend_of

if TYPE_CHECKING:
    from manybase.migrations.histories import History

Schema = tuple[int | None, bool | None]  # how many revisions are pending, and whether somebody migrates it right now


class Pending:
    """Asks on a connection that somebody has. Reads each history once: a program that runs gets no new revisions."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self._histories: dict[str, History | None] = {}

    def may_have_migrations(self, database: Database) -> bool:
        directory = self.databases.migrations
        return (
            database.manage_schema
            and (database.migrations is not None or ":" in directory or os.path.isdir(directory))
            and backend_of(self.databases, database.name) is not None
        )

    def history_of(self, name: str) -> History | None:
        """None where there is nothing to compare with. Takes a while the first time."""
        from manybase.migrations.probing import history_of

        if name not in self._histories:
            self._histories[name] = history_of(self.databases, name)
        return self._histories[name]

    def ask(self, connection: Connection, history: History, name: str) -> Schema:
        from manybase.migrations.probing import probe

        return probe(connection, history, name)
