"""Session dependencies: a session per request that commits before the response is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from inspect import signature
from typing import Any

from fastapi import Depends, HTTPException
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState
from starlette.requests import HTTPConnection

from manybase import AsyncSession, ConfigurationError, Databases, ReadOnlyError, Session
from manybase.fastapi.finishing import finish, in_thread
from manybase.fastapi.problems import raise_answer
from manybase.fastapi.tickets import RequestTicket, Uses, remember

Choose = Callable[..., Any] | None
Choice = str | Choose
Dependency = Callable[..., AsyncIterator[Any]]
OPTIONS: dict[str, Any] = {"expire_on_commit": False, "close_resets_only": False}


def session_dependency(databases: Databases, *, database: Choice = None, choices: Sequence[str] | None = None) -> Any:
    """An ``AsyncSession`` for one request: ``Annotated[AsyncSession, session_dependency(databases)]``.

    It commits when the route returns, before the response is sent, so a commit that fails is never a 2xx; it rolls
    back on any exception, an ``HTTPException`` too. A cancelled request still finishes the commit it has begun.
    Objects stay readable after the commit; the session itself is closed for good once the request has ended.

    ``database`` pins it: a declared name, or a dependency of yours that returns one for this request. What such a
    dependency may return are the ``choices``, by default the databases declared with ``shared_models=True``; anything
    else is a 404. Equal arguments give the same dependency, thus one session per request; its ``.dependency`` is the
    key for ``app.dependency_overrides``.
    """
    uses = uses_of(databases, database, choices)
    return Depends(async_dependency(uses, database if callable(database) else None), scope="function")


def sync_session_dependency(
    databases: Databases, *, database: Choice = None, choices: Sequence[str] | None = None
) -> Any:
    """As ``session_dependency``, a sync ``Session`` for a ``def`` route. Waiting for a connection takes no thread."""
    uses = uses_of(databases, database, choices)
    return Depends(sync_dependency(uses, database if callable(database) else None), scope="function")


def streaming_dependency(databases: Databases, *, database: Choice = None, choices: Sequence[str] | None = None) -> Any:
    """An ``AsyncSession`` that stays open until a streamed response has been sent, for reading only.

    It never commits: flushes and INSERT, UPDATE and DELETE raise ``ReadOnlyError``.
    """
    uses = uses_of(databases, database, choices)
    return Depends(streaming(uses, database if callable(database) else None), scope="request")


def uses_of(databases: Databases, database: Choice, choices: Sequence[str] | None) -> Uses:
    """Which databases the sessions of a dependency may use; ``ConfigurationError`` where that makes no sense."""
    if isinstance(database, str):
        return Uses(databases, (databases[database].name,), pinned=True)
    if database is None:
        return Uses(databases, databases.names, pinned=False)
    shared = tuple(each.name for each in databases if each.shared_models)
    allowed = shared if choices is None else tuple(databases[name].name for name in choices)
    if not allowed:
        raise ConfigurationError(
            "A dependency that chooses the database needs the names it may choose: pass choices=[...], or declare "
            "databases of the same models with shared_models=True. A client must not reach every declared database."
        )
    return Uses(databases, allowed, pinned=True)


@cache
def async_dependency(uses: Uses, choose: Choose) -> Dependency:
    async def session(connection: HTTPConnection, name: Any = None) -> AsyncIterator[AsyncSession]:
        database = pinned(uses, name)
        ticket = RequestTicket.of(connection, session)
        current = AsyncSession(uses.databases, database=database, ticket=ticket.enter(), **OPTIONS)
        try:
            yield current
        except BaseException as error:
            await finish(close(current, ticket))
            raise_answer(error, connection)
        try:
            await finish(commit_and_close(current, ticket))
        except Exception as error:
            raise_answer(error, connection, committing=True)

    return remember(choosing(session, choose), uses, scope="function", asyncio=True)


@cache
def sync_dependency(uses: Uses, choose: Choose) -> Dependency:
    async def session(connection: HTTPConnection, name: Any = None) -> AsyncIterator[Session]:
        database = pinned(uses, name)
        ticket = RequestTicket.of(connection, session)
        current = Session(uses.databases, database=database, ticket=ticket.enter(), **OPTIONS)
        try:
            await ticket.take()  # here, not in the route: there it would hold one of the worker threads
            yield current
        except BaseException as error:
            await finish(in_thread(close_sync, current, ticket))
            raise_answer(error, connection)
        try:
            await finish(in_thread(commit_and_close_sync, current, ticket))
        except Exception as error:
            raise_answer(error, connection, committing=True)

    return remember(choosing(session, choose), uses, scope="function", asyncio=False)


@cache
def streaming(uses: Uses, choose: Choose) -> Dependency:
    async def session(connection: HTTPConnection, name: Any = None) -> AsyncIterator[AsyncSession]:
        database = pinned(uses, name)
        ticket = RequestTicket.of(connection, session)
        current = AsyncSession(uses.databases, database=database, ticket=ticket.enter(), **OPTIONS)
        refuse_writes(current.sync_session)
        try:
            yield current
        except Exception as error:
            raise_answer(error, connection)
        finally:
            await finish(close(current, ticket))

    return remember(choosing(session, choose), uses, scope="request", asyncio=True)


def choosing(dependency: Dependency, choose: Choose) -> Dependency:
    """Let FastAPI see ``name`` as what ``choose`` returns; without a choice it must not become a query parameter."""
    seen = signature(dependency)
    name = [] if choose is None else [seen.parameters["name"].replace(default=Depends(choose))]
    dependency.__signature__ = seen.replace(parameters=[seen.parameters["connection"], *name])  # type: ignore[attr-defined]
    return dependency


def pinned(uses: Uses, name: Any) -> str | None:
    if not uses.pinned:
        return None
    if name is None and len(uses.names) == 1:
        return uses.names[0]
    if name not in uses.names:
        raise HTTPException(404, "Unknown database.")
    return str(name)


def refuse_writes(session: Session) -> None:
    def refuse(*_: Any) -> None:
        if session.new or session.dirty or session.deleted:
            raise ReadOnlyError(
                "A streaming session only reads, and never commits. Write through a session_dependency."
            )

    def refuse_dml(state: ORMExecuteState) -> None:
        if state.is_insert or state.is_update or state.is_delete:
            raise ReadOnlyError(
                "A streaming session only reads, and never commits. Write through a session_dependency."
            )

    event.listen(session, "before_flush", refuse)
    event.listen(session, "do_orm_execute", refuse_dml)


async def commit_and_close(session: AsyncSession, ticket: RequestTicket) -> None:
    try:
        await session.commit()
    finally:
        await close(session, ticket)


async def close(session: AsyncSession, ticket: RequestTicket) -> None:
    try:
        await session.close()
    finally:
        ticket.leave()


def commit_and_close_sync(session: Session, ticket: RequestTicket) -> None:
    try:
        session.commit()
    finally:
        close_sync(session, ticket)


def close_sync(session: Session, ticket: RequestTicket) -> None:
    try:
        session.close()
    finally:
        ticket.leave()
