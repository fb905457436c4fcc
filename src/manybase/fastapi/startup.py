"""Start-up and shutdown of an application: models imported, routes checked, engines disposed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Literal, get_args
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from manybase import ConfigurationError, Databases
from manybase.extras import needing
from manybase.fastapi.finishing import finished, in_thread
from manybase.fastapi.routes import dependants, dependencies_of
from manybase.fastapi.tickets import known
from manybase.idling import closing_idle
from manybase.recovering import recovering
from manybase.watching import watching

PATIENCE = 30  # seconds that a shutdown waits for commits; a database that does not answer must not keep it for ever

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]
Migrations = Literal["off", "require", "upgrade"]
Tenants = Literal["sample", "all"]

at_head: WeakSet[Databases] = WeakSet()  # those whose applications asked to serve only what is at its head


def lifespan(
    databases: Databases, *, migrations: Migrations = "off", tenants: Tenants = "sample", recovery: bool = True
) -> Lifespan:
    """For ``FastAPI(lifespan=lifespan(databases))``: checks models and routes at start-up, disposes engines at the end.

    ``migrations="require"``: the application starts only where all databases whose schema is managed here are at their
    head; it writes nothing. ``"upgrade"`` brings them there first, several processes one after the other. Raises
    ``PendingMigrations``, ``DestructiveMigration`` where a revision would lose data, or another ``MigrationError`` that
    names the database. Of databases with tenants, "require" looks at a sample of the tenants, and "upgrade" leaves them
    alone, unless ``tenants="all"``. Inside ``manybase.testing.rollback`` neither is done: there the tables are those of
    the tests.

    While the application runs it closes the engines of tenants that are idle (``manybase.idling``), looks at the
    replicas (``manybase.watching``), and ends what atomic commits have left
    in doubt (``manybase.recovering``); ``recovery=False`` leaves the latter to somebody else. Raises
    ``ConfigurationError`` where a declaration or a route is wrong. ``request.state.databases`` is ``databases``. For a
    lifespan of your own, use ``running``.
    """
    check_migrations(migrations, tenants)

    @asynccontextmanager
    async def manage(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        check_scopes(app.routes)
        async with running(databases, migrations=migrations, tenants=tenants, recovery=recovery):
            yield {"databases": databases}

    return manage


@asynccontextmanager
async def running(
    databases: Databases, *, migrations: Migrations = "off", tenants: Tenants = "sample", recovery: bool = True
) -> AsyncIterator[Databases]:
    """The databases, checked and migrated when entered, their engines disposed when left; in between, recovery runs.

    The options are those of ``lifespan``.
    """
    check_migrations(migrations, tenants)
    databases.load()
    try:
        async with recovering(databases) if recovery else nullcontext(), watching(databases), closing_idle(databases):
            await migrate(
                databases, migrations, tenants
            )  # recovery runs: what is in doubt keeps locks that a revision waits for
            try:
                yield databases
            finally:
                await finished(timeout=PATIENCE)
    finally:
        await databases.adispose()
        await in_thread(databases.dispose)


def check_migrations(asked: str, tenants: str) -> None:
    for name, given, kind in (("migrations", asked, Migrations), ("tenants", tenants, Tenants)):
        if given not in get_args(kind):
            raise ConfigurationError(f"{name} is one of {', '.join(map(repr, get_args(kind)))}.")


async def migrate(databases: Databases, asked: Migrations, tenants: Tenants) -> None:
    """Look at all databases at once, or upgrade them. Who is cancelled meanwhile leaves no revision half done."""
    if asked == "off":
        at_head.discard(databases)
        return
    at_head.add(databases)
    if databases.is_taken_over:
        return
    with needing("alembic", extra="migrations"):
        from manybase.migrations import arequire, aupgrade
    if asked == "require":
        await arequire(databases, tenants=tenants)
    else:
        await aupgrade(databases, tenants="all" if tenants == "all" else None)


def check_scopes(routes: Iterable[Any]) -> None:
    """Raise ``ConfigurationError`` where a route holds a session in a scope that commits after the response."""
    wrong = sorted({path for path, dependant in dependants(routes) if has_wrong_scope(dependant)})
    if wrong:
        raise ConfigurationError(
            f"These routes take a session in the wrong scope: {', '.join(wrong)}. It would commit after the response "
            "was sent, and a client would see success for a commit that failed. Use session_dependency(databases) as "
            "it is, or Depends(session_dependency(databases).dependency, scope='function')."
        )


def has_wrong_scope(dependant: Dependant) -> bool:
    dependencies = [each for each in dependencies_of(dependant) if each.call in known]
    return any((each.scope or "request") != known[each.call].scope for each in dependencies if each.call is not None)
