"""Problems: what a client is told when a database did not do as asked (RFC 9457, application/problem+json)."""

from __future__ import annotations

from typing import NoReturn

from fastapi import HTTPException, WebSocketException
from sqlalchemy import exc as sa_exc
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketState

from manybase import (
    AtomicityError,
    DirectoryUnavailable,
    InDoubtError,
    NoReplica,
    NotCommitted,
    PartialCommitError,
    Session,
    UnknownTenant,
)
from manybase.refusals import is_conflict
from manybase.wire import mysql_code, sqlstate

TRY_AGAIN_LATER, INTERNAL_ERROR = 1013, 1011  # why a websocket closes (RFC 6455, IANA)
RETRY = {"Retry-After": "1"}
SESSIONS = "manybase.sessions"  # in the ASGI scope: those of this request
READING = {"GET", "HEAD", "OPTIONS"}
# The server is going, coming, or full (class 08 is "connection exception").
UNAVAILABLE_STATES = {"57P01", "57P02", "57P03", "53300"}
# While connecting: this user, password or database is not known, too many connections. Drivers disagree on the class.
REFUSED_STATES = {"28000", "28P01", "3D000"}
REFUSED_CODES = {1040, 1044, 1045, 1049, 1203}  # MySQL


def raise_answer(error: BaseException, connection: HTTPConnection, *, committing: bool = False) -> NoReturn:
    """Raise ``error`` itself, or in its place the HTTPException a client can act on.

    An exception handler of the application's own for such an error comes first. No text of a driver gets out.
    """
    told = error
    if isinstance(error, Exception) and not handled_by_application(error, connection):
        reading = connection.scope.get("method") in READING
        changed = not reading and any(session.has_committed for session in connection.scope.get(SESSIONS, ()))
        told = answer(error, reading=reading, committing=committing, changed=changed)
        if isinstance(connection, WebSocket) and told is not error:
            told = in_conversation(told, error, connection)
    if told is error:
        raise error
    raise told from error


def in_conversation(told: Exception, error: Exception, websocket: WebSocket) -> Exception:
    """An HTTP response can deny a conversation; one that has begun is closed with a code, if both are still there."""
    if not isinstance(told, HTTPException) or websocket.application_state is WebSocketState.CONNECTING:
        return told
    if {websocket.application_state, websocket.client_state} != {WebSocketState.CONNECTED}:
        return error
    return WebSocketException(TRY_AGAIN_LATER if "Retry-After" in (told.headers or ()) else INTERNAL_ERROR, told.detail)


def answer(error: Exception, *, reading: bool, committing: bool, changed: bool = False) -> Exception:
    if isinstance(error, PartialCommitError):
        return problem(500, "The request was carried out in part. Do not repeat it; report it.")
    if isinstance(error, InDoubtError):
        return problem(
            500,
            "The database went away during the commit. Whether the request was carried out is unknown. Do not repeat "
            f"it; it ends by itself, as transaction {error.transaction_id}.",
        )
    if isinstance(error, NotCommitted) and not isinstance(error, AtomicityError):
        return failed("The databases could not commit together.", changed)
    if isinstance(error, NoReplica):
        return failed("No replica can serve.", changed)
    if isinstance(error, UnknownTenant):
        return problem(404, "Unknown tenant.")
    if isinstance(error, DirectoryUnavailable):
        return failed("Who the tenants are cannot be told.", changed)
    if isinstance(error, sa_exc.TimeoutError):
        return failed("The database is busy.", changed)
    if not isinstance(error, sa_exc.DBAPIError):
        return error
    if is_conflict(error):
        return failed("The request met another one.", changed)
    if not is_unavailable(error):
        return error
    if committing and not reading:
        return problem(503, "The database went away during the commit. Whether anything was changed is unknown.")
    return failed("The database is not available.", changed)


def failed(why: str, changed: bool) -> HTTPException:
    if changed:  # by another session of the request, or by a commit() of the route's own
        return problem(503, f"{why} A part of the request was carried out before: do not repeat it, look first.")
    return problem(503, f"{why} Nothing was changed; try again.", RETRY)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> HTTPException:
    return HTTPException(status, detail, {"Content-Type": "application/problem+json", **(headers or {})})


def note_session(session: Session, connection: HTTPConnection) -> None:
    """Let the answer to a failure take into account what ``session`` has committed by then."""
    connection.scope.setdefault(SESSIONS, []).append(session)


def handled_by_application(error: Exception, connection: HTTPConnection) -> bool:
    handlers = getattr(connection.scope.get("app"), "exception_handlers", {})
    return any(cls in handlers for cls in type(error).__mro__ if issubclass(cls, Exception) and cls is not Exception)


def is_unavailable(error: sa_exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None and (state.startswith("08") or state in UNAVAILABLE_STATES):
        return True
    if error.statement not in (None, "connect"):
        return False
    # Without a statement it failed while connecting.
    refused = state in REFUSED_STATES or mysql_code(error) in REFUSED_CODES
    return refused or isinstance(error, (sa_exc.OperationalError, sa_exc.InterfaceError))
