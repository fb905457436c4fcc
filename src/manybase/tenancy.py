"""Tenancy: what the tenant of a session decides: which engine, which schema, and whose objects it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Mapper

from manybase.belonging import OWNER
from manybase.engines import Databases, no_tenant
from manybase.errors import TenantMismatch
from manybase.routing import Route
from manybase.search_path import follow
from manybase.tenants import AT, Placement


class Tenancy:
    """The tenant of one session, or that there is none, where a database has tenants."""

    __slots__ = ("_asyncio", "_databases", "_placements", "tenant")

    def __init__(self, databases: Databases, tenant: str | None, *, asyncio: bool) -> None:
        self.tenant = tenant
        self._databases = databases
        self._asyncio = asyncio
        self._placements: dict[str, Placement] = {}

    def place(self, name: str) -> str:
        """What the engine is called that serves a database; ``AmbiguousRoute`` where a tenant is missing."""
        if name not in self._databases.tenants:
            return name
        return self._placement(name).name

    def placed(self, route: Route) -> Route:
        """A route with the shard and the tenant, where its database has tenants."""
        if route.database not in self._databases.tenants:
            return route
        placement = self._placement(route.database)
        return replace(route, shard=placement.shard, tenant=placement.tenant)

    def begin(self, connection: Connection) -> None:
        """A connection has begun: its tables are those in the schema of the tenant."""
        name = (self._databases.name_of(connection.engine) or "").partition(AT)[0]
        if name not in self._databases.tenants:
            return
        schema = self._placement(name).schema
        if schema is not None:
            follow(connection, schema)

    def check(self, instance: object) -> None:
        """Raise ``TenantMismatch`` for an object of another tenant; one that is nobody's becomes this one's."""
        self._refuse_of_another(instance)
        if OWNER not in vars(instance) and self.tenant is not None and self._is_of_tenant(instance):
            vars(instance)[OWNER] = self.tenant

    def check_all(self, instance: object) -> None:
        """As ``check``, for an object that is about to be merged, and those that go with it; they stay as they are."""
        state: Any = inspect(instance)
        mapper: Mapper[Any] = state.mapper
        for each in (instance, *(one for one, *_ in mapper.cascade_iterator("merge", state))):
            self._refuse_of_another(each)

    def _refuse_of_another(self, instance: object) -> None:
        owner = vars(instance).get(OWNER)
        if owner is not None and owner != self.tenant:
            raise TenantMismatch(type(instance).__name__, owner, str(self.tenant))

    def _is_of_tenant(self, instance: object) -> bool:
        mapper: Any = inspect(type(instance))
        return not self._databases.ownership.owners_of(mapper).isdisjoint(self._databases.tenants)

    def _placement(self, name: str) -> Placement:
        known = self._placements.get(name)
        if known is None:
            if self.tenant is None:
                raise no_tenant(name)
            asyncio = self._asyncio
            known = self._databases.tenants.place(name, self.tenant, self._databases, asyncio=asyncio)
            self._placements[name] = known
        return known
