"""AsyncSession: the same session under asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession
from sqlalchemy.util import greenlet_spawn

from manybase.engines import Databases
from manybase.errors import ConfigurationError, CrossDatabaseError
from manybase.federation.binding import federated_bind
from manybase.federation.explanation import Explanation
from manybase.position import Position
from manybase.routing import Across, Route
from manybase.scope import Role
from manybase.session import DECLARED_ONLY, Session


class AsyncSession(SQLAlchemyAsyncSession):
    """A ``sqlalchemy.ext.asyncio.AsyncSession`` over many databases; all that ``Session`` says holds here.

    Like every ``AsyncSession``, one is for one task at a time.
    """

    sync_session_class = Session
    sync_session: Session  # pyright: ignore[reportIncompatibleVariableOverride]  # the narrower class is the point

    def __init__(
        self,
        databases: Databases,
        *,
        database: str | None = None,
        atomic: bool = True,
        role: Role = "primary",
        after: Position | None = None,
        tenant: str | None = None,
        bind: None = None,
        **options: Any,
    ) -> None:
        options |= {"databases": databases, "database": database, "atomic": atomic, "role": role, "after": after}
        options["tenant"] = tenant
        super().__init__(bind=bind, asyncio=True, **options)

    @property
    def position(self) -> Position:
        """Where the logs stood when this session last committed, in the databases that it wrote and that have replicas.

        A session ``after`` it sees what was written here. It includes the ``after`` of this session.
        """
        return self.sync_session.position

    def route(self, statement: Any, *, database: str | None = None) -> Route:
        """Where a statement (or a mapped class) would go, and why. Nothing runs; raises what running it would raise."""
        return self.sync_session.route(statement, database=database)

    async def explain(self, statement: Any, *, analyze: bool = False) -> Explanation:
        """How a SELECT would be answered, as ``Session.explain``."""
        return await greenlet_spawn(self.sync_session.explain, statement, analyze=analyze)

    if not TYPE_CHECKING:  # SQLAlchemy's own signatures are what callers see

        def get_bind(self, mapper=None, clause=None, bind=None, *, database=None, **arguments):
            """The sync engine for a statement or a mapped class; it waits for nothing, so it needs no ``await``."""
            session = self.sync_session
            if bind is not None:
                return bind
            name = session._name_for(clause, mapper, database)
            if isinstance(name, Across):
                return federated_bind(session.databases, name)
            return session.databases.bind(name, asyncio=True)

        def get_async_bind(self, mapper=None, clause=None, bind=None, *, database=None, **arguments):
            """The async engine for a statement or a mapped class (SQLAlchemy 2.1.7 and later have this method)."""
            session = self.sync_session
            if bind is not None:
                return bind
            name = session._name_for(clause, mapper, database)
            if isinstance(name, Across):
                raise CrossDatabaseError(name.tables, "No async engine stands for them all: the session runs it.")
            return session.databases.async_engine(name)

        @property
        def bind(self):
            """The engine of the pinned or default database, for code that expects a session to have one, or None."""
            name = self.sync_session._home
            session = self.sync_session
            return None if name is None else session.databases.async_engine(session._place(name))

        @bind.setter
        def bind(self, bind):
            if bind is not None:
                raise ConfigurationError(DECLARED_ONLY)
