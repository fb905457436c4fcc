"""Commit: the participants of a transaction, one after the other in declaration order, and the truth when it tears."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from manybase.errors import PartialCommitError

Participants = Mapping[str, Connection]


def commit_in_order(participants: Participants) -> None:
    """Commit each participant; the first that fails ends it, and those after it are rolled back.

    Nothing committed so far and a server that answered: its own error passes, as from a plain session. Otherwise
    ``PartialCommitError`` names what is committed, rolled back, and unknown because the connection broke in COMMIT.
    """
    committed: list[str] = []
    for name, connection in participants.items():
        try:
            commit_one(connection)
        except BaseException as error:
            unknown = [name] if is_unknown(error) else []
            rolled_back = [other for other in participants if other not in committed and other not in unknown]
            roll_back(participants, rolled_back)
            if not committed and not unknown:
                raise
            torn = PartialCommitError(committed, rolled_back, unknown)
            if isinstance(error, Exception):
                raise torn from error
            error.add_note(str(torn))  # a cancelled task or Ctrl-C stays what it is
            raise
        committed.append(name)


def commit_one(connection: Connection) -> None:
    """COMMIT below SQLAlchemy's transaction object, whose own COMMIT, sent later, then finds nothing to do."""
    dialect = connection.dialect
    try:
        dialect.do_commit(connection.connection)
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "COMMIT", None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
        ) from error
    except BaseException as error:
        connection.invalidate(error)  # cancelled in the middle: it must not go back to the pool as it is
        raise


def is_unknown(error: BaseException) -> bool:
    """Whether COMMIT may have happened all the same: the server did not answer."""
    return not isinstance(error, DBAPIError) or error.connection_invalidated


def roll_back(participants: Participants, names: list[str]) -> None:
    for name in names:
        connection = participants[name]
        if connection.invalidated:
            continue
        try:
            connection.dialect.do_rollback(connection.connection)
        except Exception as error:  # a broken connection rolls back by itself, on the server
            connection.invalidate(error)
