"""Reading only: sessions that refuse every write before it reaches a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ClauseElement, Connection, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.visitors import iterate

from manybase.errors import ReadOnlyError, RoutingError
from manybase.routing import ReadBy, Router

REPLICA = (
    "A session with role='replica' only reads: no flush, no INSERT, UPDATE, DELETE or DDL, no FOR UPDATE. Write, and "
    "lock, in a session without role=."
)


def refuse_writes(session: Session, refusal: str, router: Router) -> None:
    """Let ``session`` raise ``ReadOnlyError`` on each flush, INSERT, UPDATE, DELETE and DDL, however it is sent.

    What the string of a ``text()`` does is not seen; it must not be committed.
    """
    refuse = refusing(refusal, router, locks=False)

    def watch(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        # Not do_orm_execute: bulk_save_objects() and statements sent to session.connection() do not come by there.
        event.listen(connection, "before_execute", refuse)

    event.listen(session, "before_flush", lambda session, *_: refuse_flush(session, refusal))
    event.listen(session, "after_begin", watch)


def refuse_flush(session: Session, refusal: str) -> None:
    if session.new or session.dirty or session.deleted:
        raise ReadOnlyError(refusal)


def refusing(refusal: str, router: Router, *, locks: bool) -> Callable[..., None]:
    """A listener to ``before_execute``, of a connection or of an engine. ``locks``: it refuses FOR UPDATE too."""

    def refuse(connection: Connection, clause: Any, *_: object) -> None:
        if not is_known_to_read(router, clause) and may_write(clause, locks=locks):
            raise ReadOnlyError(refusal)

    return refuse


def is_known_to_read(router: Router, clause: Any) -> bool:
    """What routing remembers of the shape of a statement: quicker than to walk through it each time."""
    if not isinstance(clause, ClauseElement):
        return False
    try:
        return isinstance(router.candidates(clause), ReadBy)
    except RoutingError:
        return False


def may_write(clause: Any, *, locks: bool) -> bool:
    if isinstance(clause, ExecutableDDLElement):
        return True
    return any(getattr(each, "is_dml", False) or (locks and has_lock(each)) for each in iterate(clause))


def has_lock(element: Any) -> bool:
    # Private: Select._for_update_arg (SQLAlchemy 2.0 and 2.1) is where with_for_update() puts what it was told; there
    # is no public name for it. test_role.py fails when it changes.
    return getattr(element, "_for_update_arg", None) is not None
