"""Sequence: participants committed one after the other, and the truth when that tears."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from manybase.errors import PartialCommitError
from manybase.participants import Participant, has_begun
from manybase.replication import commit_and_tell, tell
from manybase.twophase import mysql
from manybase.wire import commit, is_abandoned, is_lost


def commit_in_order(participants: Sequence[Participant]) -> None:
    """Commit each participant; the first that fails ends it, and those after it are rolled back.

    Nothing committed so far and a server that answered: its own error passes, as from a plain session. Otherwise
    ``PartialCommitError`` names what is committed, rolled back, and unknown because the connection broke in COMMIT.
    """
    committed: list[str] = []
    for each in participants:
        try:
            commit_one(each)
        except BaseException as error:
            unknown = [each.name] if is_lost(error) else []
            left = [other for other in participants if other.name not in committed and other.name not in unknown]
            roll_back(left)
            if not committed and not unknown:
                raise
            torn = PartialCommitError(committed, [other.name for other in left], unknown)
            if isinstance(error, Exception):
                raise torn from error
            error.add_note(str(torn))  # a cancelled task or Ctrl-C stays what it is
            raise
        committed.append(each.name)


def commit_one(participant: Participant) -> None:
    """COMMIT, without preparing; a connection that is lost or left in the middle is invalid from then on."""
    try:
        if participant.xid is not None:
            mysql.commit(participant.connection, participant.xid)
        elif participant.tells and has_begun(participant.connection):
            participant.note_point(commit_and_tell(participant.connection))
        else:
            participant.tells = False  # there is nothing to commit
            commit(participant.connection)
    except BaseException as error:
        if is_lost(error):
            invalidate(participant.connection, error)
        raise
    participant.ended = True
    if participant.tells and participant.point is None:
        participant.note_point(tell(participant.connection))


def roll_back(participants: Iterable[Participant]) -> None:
    """Roll back what is not prepared, here and now, whatever interrupts.

    SQLAlchemy itself does not roll back a connection whose commit event has raised: it would go back to its pool in
    the middle of its transaction, and the next one's COMMIT would make that permanent.
    """
    interruption: BaseException | None = None
    for each in participants:
        connection = each.connection
        if each.ended or connection.closed or is_abandoned(connection):
            continue
        each.ended = True
        try:
            if each.xid is None:
                connection.dialect.do_rollback(connection.connection)
            else:
                mysql.roll_back(connection, each.xid)
        except BaseException as error:  # a broken connection rolls back by itself, on the server
            invalidate(connection, error)
            if not isinstance(error, Exception):
                interruption = error
    if interruption is not None:
        raise interruption


def invalidate(connection: Connection, error: BaseException) -> None:
    if not connection.closed and not connection.invalidated:
        connection.invalidate(error)
