"""Session dependencies: a session per request that commits before the response is sent."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from manybase import AsyncSession, ConfigurationError, Databases, Session
from manybase.fastapi.finishing import finish, in_thread, released_by_threads
from manybase.fastapi.positions import position_of
from manybase.fastapi.problems import note_session, problem, raise_answer
from manybase.fastapi.tenants import check_tenants, tenant_of
from manybase.fastapi.tickets import RequestTicket, Uses, known, remember
from manybase.reading import refuse_writes
from manybase.scope import Role
from manybase.session import check_role

Choose = Callable[..., Any] | None
Choice = str | Choose
RoleChoice = Role | Callable[..., Any]
Dependency = Callable[..., AsyncIterator[Any]]
STREAMING = "A streaming session only reads, and never commits. Write through a session_dependency."
THE_ONLY_ONE: Any = object()  # not None, which is what a dependency that chose nothing returns
OPTIONS: dict[str, Any] = {"expire_on_commit": False, "close_resets_only": False}


def session_dependency(
    databases: Databases,
    *,
    database: Choice = None,
    choices: Sequence[str] | None = None,
    role: RoleChoice = "primary",
    tenant: Choose = None,
    atomic: bool = True,
) -> Any:
    """An ``AsyncSession`` for one request: ``Annotated[AsyncSession, session_dependency(databases)]``.

    It commits when the route returns, before the response is sent, so a commit that fails is never a 2xx; it rolls
    back on any exception, an ``HTTPException`` too. A cancelled request still finishes the commit it has begun.
    Objects stay readable after the commit; the session itself is closed for good once the request has ended.

    ``database`` pins it: a declared name, or a dependency of yours that returns one for this request. What such a
    dependency may return are the ``choices``, by default the databases declared with ``shared_models=True``; anything
    else is a 404. ``role="replica"`` reads from replicas, after the position that ``PositionMiddleware`` has found; a
    dependency of yours may choose the role, as ``by_method`` does. ``tenant`` is a dependency of yours that returns
    the name of the tenant of this request, or None where it has none: one that no directory knows is a 404, and a
    second name in the same request a 400. ``atomic=False`` commits one database after the other, and may tear. Equal
    arguments give the same dependency, thus one session per request; its ``.dependency`` is the key for
    ``app.dependency_overrides``.
    """
    uses = uses_of(databases, database, choices, tenant)
    chosen = Chosen.of(database, role, tenant)
    return Depends(async_dependency(uses, chosen, atomic), scope="function")


def sync_session_dependency(
    databases: Databases,
    *,
    database: Choice = None,
    choices: Sequence[str] | None = None,
    role: RoleChoice = "primary",
    tenant: Choose = None,
    atomic: bool = True,
) -> Any:
    """As ``session_dependency``, a sync ``Session`` for a ``def`` route. Waiting for a connection takes no thread."""
    uses = uses_of(databases, database, choices, tenant)
    chosen = Chosen.of(database, role, tenant)
    return Depends(sync_dependency(uses, chosen, atomic), scope="function")


def streaming_dependency(
    databases: Databases,
    *,
    database: Choice = None,
    choices: Sequence[str] | None = None,
    role: RoleChoice = "primary",
    tenant: Choose = None,
) -> Any:
    """An ``AsyncSession`` that stays open until a streamed response has been sent, for reading only.

    It never commits: flushes and INSERT, UPDATE and DELETE raise ``ReadOnlyError``.
    """
    uses = uses_of(databases, database, choices, tenant)
    return Depends(streaming(uses, Chosen.of(database, role, tenant)), scope="request")


@dataclass(frozen=True)
class Chosen:
    """What the dependencies of the user's choose for each request, and the role where none does."""

    database: Choose
    role: Role
    role_of: Choose
    tenant: Choose

    @classmethod
    def of(cls, database: Choice, role: RoleChoice, tenant: Choose) -> Chosen:
        choose = database if callable(database) else None
        if callable(role):
            return cls(choose, "primary", role, tenant)
        check_role(role)
        return cls(choose, role, None, tenant)


def uses_of(databases: Databases, database: Choice, choices: Sequence[str] | None, tenant: Choose) -> Uses:
    """Which databases the sessions of a dependency may use; ``ConfigurationError`` where that makes no sense."""
    names, is_pinned = names_of(databases, database, choices)
    uses = Uses(databases, names, is_pinned, tenants=tenant is not None)
    check_tenants(uses, tenant)
    return uses


def names_of(databases: Databases, database: Choice, choices: Sequence[str] | None) -> tuple[tuple[str, ...], bool]:
    """All that may be used, and whether a session is pinned to one of them."""
    if choices is not None and not callable(database):
        raise ConfigurationError(
            "choices= says what a dependency may choose: pass it as database=, or leave out choices."
        )
    if isinstance(database, str):
        return (databases[database].name,), True
    if database is None:
        return databases.names, False
    shared = tuple(each.name for each in databases if each.shared_models)
    allowed = shared if choices is None else tuple(databases[name].name for name in choices)
    if not allowed:
        raise ConfigurationError(
            "A dependency that chooses the database needs the names it may choose: pass choices=[...], or declare "
            "databases of the same models with shared_models=True. A client must not reach every declared database."
        )
    return allowed, True


@cache
def async_dependency(uses: Uses, chosen: Chosen, atomic: bool) -> Dependency:
    async def session(
        connection: HTTPConnection, name: Any = THE_ONLY_ONE, role: Any = chosen.role, tenant: Any = None
    ) -> AsyncIterator[AsyncSession]:
        database = pinned(uses, name)
        tenant, ticket = await admitted(connection, session, database, tenant)
        options = {**OPTIONS, **options_of(connection, role, tenant), "atomic": atomic}
        current = AsyncSession(uses.databases, database=database, ticket=ticket.enter(), **options)
        note_session(current.sync_session, connection)
        try:
            yield current
        except BaseException as error:
            await finish(close(current, ticket))
            raise_answer(error, connection)
        try:
            await finish(commit_and_close(current, ticket))
        except Exception as error:
            raise_answer(error, connection, committing=True)

    return remember(choosing(session, chosen), uses, scope="function", asyncio=True)


@cache
def sync_dependency(uses: Uses, chosen: Chosen, atomic: bool) -> Dependency:
    async def session(
        connection: HTTPConnection, name: Any = THE_ONLY_ONE, role: Any = chosen.role, tenant: Any = None
    ) -> AsyncIterator[Session]:
        database = pinned(uses, name)
        tenant, ticket = await admitted(connection, session, database, tenant)
        options = {**OPTIONS, **options_of(connection, role, tenant), "atomic": atomic}
        current = Session(uses.databases, database=database, ticket=ticket.enter(), **options)
        note_session(current, connection)
        try:
            await ticket.take()  # here, not in the route: there it would hold one of the worker threads
            yield current
        except CancelledError:
            await finish(released_and_closed(current, ticket))
            raise
        except BaseException as error:
            await finish(in_thread(close_sync, current, ticket))
            raise_answer(error, connection)
        try:
            await finish(in_thread(commit_and_close_sync, current, ticket))
        except Exception as error:
            raise_answer(error, connection, committing=True)

    return remember(choosing(session, chosen), uses, scope="function", asyncio=False)


@cache
def streaming(uses: Uses, chosen: Chosen) -> Dependency:
    async def session(
        connection: HTTPConnection, name: Any = THE_ONLY_ONE, role: Any = chosen.role, tenant: Any = None
    ) -> AsyncIterator[AsyncSession]:
        database = pinned(uses, name)
        tenant, ticket = await admitted(connection, session, database, tenant)
        options = {**OPTIONS, **options_of(connection, role, tenant)}
        current = AsyncSession(uses.databases, database=database, ticket=ticket.enter(), **options)
        refuse_writes(current.sync_session, STREAMING, uses.databases.router)
        try:
            yield current
        except Exception as error:
            raise_answer(error, connection)
        finally:
            await finish(close(current, ticket))

    return remember(choosing(session, chosen), uses, scope="request", asyncio=True)


async def admitted(
    connection: HTTPConnection, dependency: Dependency, database: str | None, given: Any
) -> tuple[str | None, RequestTicket]:
    """The tenant of the request, and the ticket for its connections."""
    try:
        tenant = await tenant_of(connection, known[dependency], database, given)
        return tenant, await RequestTicket.of(connection, dependency, database, tenant)
    except Exception as error:
        raise_answer(error, connection)


def options_of(connection: HTTPConnection, role: Role, tenant: str | None) -> dict[str, Any]:
    """What a session gets from the request: its role, what it has to have seen, and whose part it sees."""
    return {"role": role, "after": position_of(connection.scope), "tenant": tenant}


def choosing(dependency: Dependency, chosen: Chosen) -> Dependency:
    """Let FastAPI see as parameters what is chosen for a request; nothing else must become a query parameter."""
    seen = signature(dependency)
    choices = {"name": chosen.database, "role": chosen.role_of, "tenant": chosen.tenant}
    given = [
        seen.parameters[name].replace(default=Depends(choose)) for name, choose in choices.items() if choose is not None
    ]
    dependency.__signature__ = seen.replace(parameters=[seen.parameters["connection"], *given])  # type: ignore[attr-defined]
    return dependency


def pinned(uses: Uses, name: Any) -> str | None:
    if not uses.pinned:
        return None
    if name is THE_ONLY_ONE:
        return uses.names[0]
    if not isinstance(name, str) or name not in uses.names:
        raise problem(404, "Unknown database.")
    return uses.names[uses.names.index(name)]  # the str itself, where name is a member of an enum


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


async def released_and_closed(session: Session, ticket: RequestTicket) -> None:
    await released_by_threads(session)  # two threads on one connection would garble what it says
    await in_thread(close_sync, session, ticket)


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
