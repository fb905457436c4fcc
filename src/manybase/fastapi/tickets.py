"""Tickets: the sessions of a request take their connections on one ticket, so that requests cannot block each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from starlette.requests import HTTPConnection

from manybase import Databases
from manybase.fastapi.asking import asked
from manybase.fastapi.routes import dependants_of, dependencies_of
from manybase.slots import BothTickets, Ticket

Dependency = TypeVar("Dependency", bound=Callable[..., Any])


@dataclass(frozen=True)
class Uses:
    """The databases that a session of some dependency may use: all of ``names``, or, pinned, one of them.

    ``tenants``: also those that have tenants, for a dependency says which one is meant.
    """

    databases: Databases
    names: tuple[str, ...]
    pinned: bool
    tenants: bool = False

    @property
    def of_tenants(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in self.databases.tenants)

    @property
    def connected(self) -> tuple[str, ...]:
        """Those that a session can get a connection to."""
        return tuple(name for name in self.names if self.tenants or name not in self.databases.tenants)


@dataclass(frozen=True)
class Known:
    """What we know of a dependency made here."""

    uses: Uses
    scope: str
    asyncio: bool


known: WeakKeyDictionary[Callable[..., Any], Known] = WeakKeyDictionary()
# The session dependencies of a route, by its id (routes cannot be hashed; the route is kept, so its id stays its own).
calls_of_routes: dict[int, tuple[Any, set[Callable[..., Any]]]] = {}


def remember(dependency: Dependency, uses: Uses, *, scope: str, asyncio: bool) -> Dependency:
    known[dependency] = Known(uses, scope, asyncio)
    return dependency


class Joined(BothTickets):
    """Tickets as one, taken one after the other. That of a tenant may come when the first sessions are there."""

    __slots__ = ("tickets",)

    def __init__(self) -> None:
        self.tickets: list[Ticket | BothTickets] = []

    @property
    def taken(self) -> bool:
        return all(each.taken for each in self.tickets)

    @property
    def is_begun(self) -> bool:
        return any(each.taken for each in self.tickets)

    def take(self) -> None:
        for each in self.tickets:
            each.take()

    async def take_async(self) -> None:
        for each in self.tickets:
            await each.take_async()

    def take_at_once(self) -> bool:
        return all(each.take_at_once() for each in self.tickets)

    def retire(self) -> None:
        for each in reversed(self.tickets):
            each.retire()

    def release(self) -> None:
        for each in reversed(self.tickets):
            each.release()


class RequestTicket:
    """The ticket shared by the sessions of a request; given back when the last one is closed."""

    def __init__(self, forget: Callable[[], object], *, grows: bool) -> None:
        self._ticket = Joined()
        self._grows = grows
        self._tenant: str | None = None
        self._forget = forget
        self._sessions = 0

    @classmethod
    async def of(
        cls, connection: HTTPConnection, dependency: Callable[..., Any], database: str | None, tenant: str | None
    ) -> RequestTicket:
        """The ticket of this request for the kind of session that ``dependency`` gives, pinned to ``database``."""
        this = known[dependency]
        databases = this.uses.databases
        tickets: dict[Any, RequestTicket] = connection.scope.setdefault("manybase.tickets", {})
        key = (databases, this.asyncio)
        if key in tickets and tenant in (None, tickets[key]._tenant):
            return tickets[key]
        needs = needs_of(connection, dependency, database)
        begun = key in tickets and tickets[key]._ticket.is_begun
        if begun and tenant is not None:
            make: Callable[[], Any] = partial(databases.lease, needs, tenant, asyncio=this.asyncio)
        else:  # all in one go: whoever has a part of what he needs, and waits, keeps it from others
            make = partial(databases.ticket, needs, tenant=tenant, asyncio=this.asyncio)
        ticket = await asked(databases, tenant, needs, make, asyncio=this.asyncio)
        found = tickets.setdefault(key, cls(lambda: tickets.pop(key), grows=bool(databases.tenants)))
        found._tenant = tenant
        found._ticket.tickets = [*found._ticket.tickets, ticket] if begun else [ticket]
        return found

    def enter(self) -> Ticket | BothTickets:
        self._sessions += 1
        return self._ticket if self._grows else self._ticket.tickets[0]

    async def take(self) -> None:
        await self._ticket.take_async()

    def leave(self) -> None:
        self._sessions -= 1
        if self._sessions == 0:
            self._ticket.retire()
            self._forget()


def needs_of(connection: HTTPConnection, dependency: Callable[..., Any], database: str | None) -> Counter[str]:
    """How many connections to each database the route's sessions of this kind may hold at once."""
    calls = calls_of(connection, dependency)
    return count(frozenset(calls), dependency, database)


@lru_cache(maxsize=1_000)
def count(calls: frozenset[Callable[..., Any]], dependency: Callable[..., Any], database: str | None) -> Counter[str]:
    this = known[dependency]
    needs: Counter[str] = Counter()
    for call in calls:
        each = known[call]
        if call is dependency and database is not None:
            needs.update((database,))  # chosen by now: one that is busy must not hold up requests for the others
        elif each.uses.databases is this.uses.databases and each.asyncio is this.asyncio:
            needs.update(each.uses.connected)
    return needs


def calls_of(connection: HTTPConnection, dependency: Callable[..., Any]) -> set[Callable[..., Any]]:
    """The session dependencies of the route that ``connection`` asks for."""
    route = connection.scope.get("route")
    if route is None:
        return {dependency}
    if id(route) not in calls_of_routes:
        found = dependants_of(route, connection.scope["app"])
        declared = {each.call for dependant in found for each in dependencies_of(dependant)}
        calls_of_routes[id(route)] = (route, {call for call in declared if call is not None and call in known})
    calls = calls_of_routes[id(route)][1]
    calls.add(dependency)  # another one may stand in its place, by dependency_overrides
    return calls
