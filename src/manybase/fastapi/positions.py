"""Positions across requests: who has written something reads it, also from a replica, in the next request."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manybase import ConfigurationError, Databases, InvalidPosition, Position
from manybase.fastapi.problems import READING, SESSIONS
from manybase.scope import Role

POSITION = "manybase.position"  # in the ASGI scope
MAX_AGE = 3600  # seconds; by then a replica has it, or is out for lagging
SECRET = 16  # bytes


def by_method(connection: HTTPConnection) -> Role:
    """For ``session_dependency(databases, role=by_method)``: GET, HEAD and OPTIONS read replicas, all else writes."""
    return "replica" if connection.scope.get("method") in READING else "primary"


class PositionMiddleware:
    """Carries the position of what a client has written into its next requests: replica sessions read after it.

    ``app.add_middleware(PositionMiddleware, databases=databases, secret=...)``. The position travels in a cookie and,
    for clients without cookies, in the header ``x-manybase-position``, which they send back as it is. It is signed with
    ``secret``, at least 16 bytes; of several, the first one signs and all are accepted. What is not signed by them is
    ignored, and counted in ``databases.replicas.refused_positions``. The cookie is set by responses to requests that
    have written; it holds names of databases and log positions, nothing about the client.
    """

    def __init__(
        self,
        app: ASGIApp,
        databases: Databases,
        *,
        secret: str | bytes | Sequence[str | bytes],
        cookie: str = "manybase_position",
        header: str = "x-manybase-position",
        max_age: int = MAX_AGE,
    ) -> None:
        self.app = app
        self.databases = databases
        self.cookie = cookie
        self.header = header
        self.max_age = max_age
        self._secrets = [as_secret(each) for each in ([secret] if isinstance(secret, (str, bytes)) else secret)]
        if not self._secrets:
            raise ConfigurationError("PositionMiddleware needs a secret to sign with: secret=...")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self.databases.replicas:
            await self.app(scope, receive, send)
            return
        before = scope[POSITION] = self._position_in(scope)

        async def send_with_position(message: Message) -> None:
            if message["type"] == "http.response.start":
                position = position_of(scope)
                if position != before:
                    self._add_to(MutableHeaders(scope=message), scope, position)
            await send(message)

        await self.app(scope, receive, send_with_position)

    def sign(self, position: Position) -> str:
        """The text that stands in the cookie and in the header."""
        text = str(position)
        return f"{text}!{signature(self._secrets[0], text)}"

    def _position_in(self, scope: Scope) -> Position:
        headers = Headers(scope=scope)
        position = Position()
        for text in (cookie_of(headers, self.cookie), headers.get(self.header)):
            if text:
                position = position.merge(self._verified(text))
        return position

    def _verified(self, token: str) -> Position | None:
        text, _, signed = token.rpartition("!")
        for secret in self._secrets:
            if hmac.compare_digest(signature(secret, text).encode(), signed.encode(errors="replace")):
                try:
                    position = Position.parse(text)
                except InvalidPosition:  # of another version of this program
                    break
                return Position({name: position.points[name] for name in position if name in self.databases.replicas})
        self.databases.replicas.refused_positions += 1
        return None

    def _add_to(self, headers: MutableHeaders, scope: Scope, position: Position) -> None:
        token = self.sign(position)
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        headers.append(
            "set-cookie", f"{self.cookie}={token}; Max-Age={self.max_age}; Path=/; HttpOnly; SameSite=Lax{secure}"
        )
        headers[self.header] = token


def position_of(scope: Any) -> Position:
    """What this request is to see: what it came with, and what its sessions have committed by now."""
    position: Position = scope.get(POSITION) or Position()
    return position.merge(*(session.position for session in scope.get(SESSIONS, ())))


def signature(secret: bytes, text: str) -> str:
    signed = hmac.new(secret, text.encode(errors="replace"), hashlib.sha256).digest()
    return urlsafe_b64encode(signed[:24]).decode()


def as_secret(secret: str | bytes) -> bytes:
    as_bytes = secret.encode() if isinstance(secret, str) else secret
    if len(as_bytes) < SECRET:
        raise ConfigurationError(
            f"The secret= of PositionMiddleware is too short: at least {SECRET} bytes, as secrets.token_hex() gives."
        )
    return as_bytes


def cookie_of(headers: Headers, name: str) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[name].value if name in cookies else None
