"""Which databases answered a request: told in the header ``X-Databases``, for the tour and the start page.

Only a demonstration shows this to its clients; a program of yours would log it.
"""

import re
from collections import Counter
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, event
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.shop.databases import databases

HEADER = "X-Databases"
TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+[\"`]?(\w+)")

Statements = list[tuple[str, str]]  # database, what it was asked
statements_of_request: ContextVar[Statements | None] = ContextVar("statements_of_request", default=None)


class AnsweredBy:
    """Middleware that adds the header: ``shop: UPDATE products; analytics: INSERT orders, INSERT events``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        if not event.contains(Engine, "before_cursor_execute", note):
            event.listen(Engine, "before_cursor_execute", note)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        statements: Statements = []

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = summary(statements)
            await send(message)

        token = statements_of_request.set(statements)
        try:
            await self.app(scope, receive, send_with_header)
        finally:
            statements_of_request.reset(token)


def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
    statements = statements_of_request.get()
    name = databases.name_of(connection.engine)
    if statements is not None and name is not None:
        table = TABLE.search(statement)
        statements.append((name, f"{statement.split(maxsplit=1)[0]} {table[1] if table else ''}".strip()))


def summary(statements: Statements) -> str:
    """One part per database, in the order in which they were asked first."""
    by_database: dict[str, Counter[str]] = {}
    for name, asked in statements:
        by_database.setdefault(name, Counter())[asked] += 1
    return "; ".join(f"{name}: {', '.join(map(counted, asked.items()))}" for name, asked in by_database.items())


def counted(item: tuple[str, int]) -> str:
    asked, times = item
    return asked if times == 1 else f"{asked} x{times}"
