"""The tenant of a request: found by a dependency of the user's, looked up before the route runs, and never another."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from starlette.requests import HTTPConnection

from manybase import ConfigurationError, Databases, UnknownTenant
from manybase.fastapi.asking import asked
from manybase.fastapi.problems import problem
from manybase.fastapi.tickets import Known, Uses

logger = logging.getLogger("manybase.tenants")

TENANTS = "manybase.tenants"  # in the ASGI scope: that of this request, for each Databases


def check_tenants(uses: Uses, tenant: object) -> None:
    """Raise ``ConfigurationError`` for a ``tenant=`` that makes no sense."""
    if tenant is None:
        return
    if not callable(tenant):
        raise ConfigurationError(
            "tenant= is a dependency of yours that returns the name of the tenant of each request. One name for all "
            "of them makes no sense here."
        )
    without = [name for name in uses.names if name not in uses.databases.tenants]
    if not uses.of_tenants or (uses.pinned and without):
        raise ConfigurationError(
            f"tenant= says whose part of a database is meant, and {', '.join(without)} has no tenants. Leave it out, "
            "or declare tenants=."
        )


async def tenant_of(connection: HTTPConnection, this: Known, database: str | None, given: Any) -> str | None:
    """The tenant of this request, whom a directory knows; None where the dependency says that there is none.

    Raises ``UnknownTenant`` or ``DirectoryUnavailable``, or 400 where the request has another tenant already.
    """
    if given is None:
        return None
    if isinstance(given, str):
        given = str.__str__(given)  # the str itself, where it is a member of an enum
    databases = this.uses.databases
    names = this.uses.of_tenants if database is None else (database,)
    look = partial(look_up, databases, names, given, asyncio=this.asyncio)
    try:
        tenant = await asked(databases, given, names, look, asyncio=this.asyncio)
    except UnknownTenant as error:
        logger.info("Refused: %s", error)  # which escapes the name
        raise
    tenants: dict[Databases, str] = connection.scope.setdefault(TENANTS, {})
    if tenants.setdefault(databases, tenant) != tenant:
        raise problem(400, "The request names two tenants.")
    return tenant


def look_up(databases: Databases, names: tuple[str, ...], tenant: Any, *, asyncio: bool) -> str:
    """``tenant`` itself, where one of these databases has a part of it; that another has none is said when it is used.

    No connection is made to any of them.
    """
    refusal = UnknownTenant(tenant, names)
    for name in names:
        try:
            return databases.tenants.place(name, tenant, databases, asyncio=asyncio).tenant
        except UnknownTenant as error:
            refusal = error
    raise refusal
