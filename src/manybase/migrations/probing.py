"""Probing: how far a database is behind, as cheaply as a health check wants it, on a connection that it has."""

from __future__ import annotations

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from manybase.engines import Databases
from manybase.migrations.environments import Heads
from manybase.migrations.histories import History, histories
from manybase.migrations.locks import holder
from manybase.migrations.looking import state_of


def history_of(databases: Databases, name: str) -> History | None:
    """The history of a database, its revisions read. None where there is none, or an ``env.py`` of the user's: where
    it keeps the versions, only that knows."""
    (history,) = histories(databases, [name])
    if not history.exists or history.has_environment:
        return None
    history.load()
    return history


def probe(connection: Connection, history: History, name: str) -> tuple[int | None, bool]:
    """How many revisions a database lacks, and whether somebody migrates it right now. The number is None where it is
    at a revision that the history does not have."""
    heads = MigrationContext.configure(connection).get_current_heads()
    return count_pending(history, name, heads), holder(connection) is not None


def count_pending(history: History, name: str, heads: Heads) -> int | None:
    if set(heads) == set(history.scripts.get_heads(consider_depends_on=True)):
        return 0  # told at once, however long the history is
    state = state_of(name, history, [heads], None)
    return None if state.unknown else len(state.pending)
