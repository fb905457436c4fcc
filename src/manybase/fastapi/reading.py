"""Reading only: a session that refuses every write before it reaches a database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.visitors import iterate

from manybase import ReadOnlyError, Session

REFUSAL = "A streaming session only reads, and never commits. Write through a session_dependency."


def refuse_writes(session: Session) -> None:
    """Let ``session`` raise ``ReadOnlyError`` on each flush, INSERT, UPDATE, DELETE and DDL, however it is sent.

    What the string of a ``text()`` does is not seen; it must not be committed.
    """
    event.listen(session, "before_flush", refuse_flush)
    event.listen(session, "after_begin", watch)


def refuse_flush(session: Session, *_: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise ReadOnlyError(REFUSAL)


def watch(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    # Not do_orm_execute: bulk_save_objects() and statements sent to session.connection() do not come by there.
    event.listen(connection, "before_execute", refuse_dml)


def refuse_dml(connection: Connection, clause: Any, *_: object) -> None:
    if isinstance(clause, ExecutableDDLElement) or any(getattr(each, "is_dml", False) for each in iterate(clause)):
        raise ReadOnlyError(REFUSAL)
