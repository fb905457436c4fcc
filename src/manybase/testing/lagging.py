"""lag: a replica that is behind, for tests that have no second server."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count

from sqlalchemy import URL

from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.participants import url_of
from manybase.position import Simulated

numbers = count(1)


@contextmanager
def lag(databases: Databases, name: str, *, seconds: float = 3600.0) -> Iterator[Lagging]:
    """Inside the block, ``name`` has a replica that shows each commit ``seconds`` later: by default, not in this test.

    What reads with ``role="replica"`` and without a position sees the database as it was when the block began, or when
    the replica last had everything. After the position of a commit, it reads from the primary until the replica has it.
    ``.served`` of what the block yields counts who served. A SQLite file needs nothing more; other databases need
    ``rollback()`` around the block, and then show what was there before the test. In memory there is nothing to show.
    """
    database = databases[name]
    with tempfile.TemporaryDirectory() as folder:
        lagging = Lagging(databases, database, seconds, folder)
        with databases.replicas.simulating(database, lagging), databases.knowing(lagging.declared):
            yield lagging


class Lagging:
    """What the block of ``lag`` yields."""

    def __init__(self, databases: Databases, database: Database, seconds: float, folder: str) -> None:
        self.seconds = seconds
        self._databases = databases
        self._name = database.name
        self._commits: list[float] = []
        self._copied = -1
        url = url_of(databases, database.name)
        self._file = url.database if database.name in files(databases) and url is not None else None
        if self._file is None and not databases.is_taken_over:
            raise ConfigurationError(
                f"lag() can show an older state of {database.name!r} only where it is a SQLite file, or inside "
                "rollback(). Put `with rollback(databases):` around it, or @pytest.mark.rollback on the test."
            )
        if self._file is None and url is not None and url.get_backend_name() == "sqlite":
            raise ConfigurationError(f"lag(): {database.name!r} is in memory, where nobody else sees it. Use a file.")
        self._copy = os.path.join(folder, "older.db")
        older = URL.create("sqlite", database=self._copy) if self._file is not None else url
        self.declared = database.elsewhere(f"{database.name}/older{next(numbers)}", older)
        self._keep_older()

    @property
    def served(self) -> dict[str, int]:
        """Who served the transactions of replica sessions: "replica", or why it was the primary."""
        return {who: times for who, times in self._databases.replicas[self._name].served.items() if times}

    def commit(self) -> Simulated:
        """Somebody has committed: this is the position."""
        self._commits.append(time.monotonic())
        return Simulated(len(self._commits))

    @property
    def replayed(self) -> Simulated:
        now = time.monotonic()
        return Simulated(sum(now - each >= self.seconds for each in self._commits))

    @property
    def older(self) -> str | None:
        """Where the older state is, as the name of a database; None while the replica has everything."""
        if self.replayed.number < len(self._commits):
            return self.declared.name
        self._keep_older()
        return None

    def _keep_older(self) -> None:
        """What is there now is the older state from the next commit on."""
        if self._file is None or self._copied == len(self._commits):
            return
        self._copied = len(self._commits)
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(self._copy)) as copy:
            source.backup(copy)


def files(databases: Databases) -> set[str]:
    """The databases that are SQLite files."""
    found = set()
    for name in databases.names:
        url = url_of(databases, name)
        if url is not None and url.get_backend_name() == "sqlite" and url.database and os.path.isfile(url.database):
            found.add(name)
    return found
