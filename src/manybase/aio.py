"""AsyncSession: the same session under asyncio."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession

from manybase.engines import Databases
from manybase.routing import Route
from manybase.session import Session


class AsyncSession(SQLAlchemyAsyncSession):
    """A ``sqlalchemy.ext.asyncio.AsyncSession`` over many databases; all that ``Session`` says holds here.

    Like every ``AsyncSession``, one is for one task at a time.
    """

    sync_session_class = Session
    sync_session: Session  # pyright: ignore[reportIncompatibleVariableOverride]  # the narrower class is the point

    def __init__(self, databases: Databases, *, database: str | None = None, bind: None = None, **options: Any) -> None:
        super().__init__(bind=bind, databases=databases, database=database, asyncio=True, **options)

    def route(self, statement: Any, *, database: str | None = None) -> Route:
        """Where a statement (or a mapped class) would go, and why. Nothing runs; raises what running it would raise."""
        return self.sync_session.route(statement, database=database)
