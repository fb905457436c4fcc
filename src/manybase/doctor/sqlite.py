"""SQLite, examined."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sqlalchemy import Connection

from manybase.doctor.facts import Check, Facts
from manybase.doctor.findings import Finding
from manybase.journals import obstacles

OFF, NORMAL = 0, 1


def durability(connection: Connection, facts: Facts) -> Iterator[Finding]:
    """Whether what is committed outlives a crash and a loss of power, with the settings of the declared engine."""
    facts.obstacles = obstacles(connection, "main")
    journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()).lower()
    synchronous = int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
    if journal in ("off", "memory"):
        message = f"journal_mode = {journal}: a crash in the middle of a commit can ruin the file. Set it to DELETE."
        yield Finding(facts.name, "fail", "durability", message)
    if synchronous == OFF or (synchronous == NORMAL and journal == "wal"):
        message = (
            f"synchronous = {'OFF' if synchronous == OFF else 'NORMAL, with journal_mode = wal'}: a loss of power can "
            "lose the last commits, and with them a decision that others have already followed. Set it to FULL."
        )
        yield Finding(facts.name, "warn", "durability", message)


def file(connection: Connection, facts: Facts) -> Iterator[Finding]:
    path = connection.exec_driver_sql("PRAGMA database_list").one()[2]
    if path and not (os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK)):
        message = "The file, or its folder, is read only for this user: nothing can be committed there. Allow writing."
        yield Finding(facts.name, "fail", "file", message)


CHECKS: tuple[Check, ...] = (durability, file)
