"""Tickets: the sessions of a request take their connections on one ticket, so that requests cannot block each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection

from manybase import Databases
from manybase.slots import Ticket

Dependency = TypeVar("Dependency", bound=Callable[..., Any])


@dataclass(frozen=True)
class Uses:
    """The databases that a session of some dependency may use: all of ``names``, or, pinned, one of them."""

    databases: Databases
    names: tuple[str, ...]
    pinned: bool


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


class RequestTicket:
    """The ticket shared by the sessions of a request; given back when the last one is closed."""

    def __init__(self, ticket: Ticket | None) -> None:
        self._ticket = ticket
        self._sessions = 0

    @classmethod
    def of(cls, connection: HTTPConnection, dependency: Callable[..., Any]) -> RequestTicket:
        """The ticket of this request for the kind of session that ``dependency`` gives."""
        this = known[dependency]
        databases = this.uses.databases
        tickets: dict[Any, RequestTicket] = connection.scope.setdefault("manybase.tickets", {})
        key = (databases, this.asyncio)
        if key not in tickets:
            needs = needs_of(connection.scope.get("route"), dependency)
            # One connection at a time, and no thread to hold: nothing to wait for but the pool itself.
            free = this.asyncio and sum(needs.values()) == 1
            tickets[key] = cls(None if free else databases.ticket(needs, asyncio=this.asyncio))
        return tickets[key]

    def enter(self) -> Ticket | None:
        self._sessions += 1
        return self._ticket

    async def take(self) -> None:
        if self._ticket is not None:
            await self._ticket.take_async()

    def leave(self) -> None:
        self._sessions -= 1
        if self._sessions == 0 and self._ticket is not None:
            self._ticket.release()


def needs_of(route: Any, dependency: Callable[..., Any]) -> Counter[str]:
    """How many connections to each database the route's sessions of this kind may hold at once."""
    this = known[dependency]
    needs: Counter[str] = Counter()
    for call in calls_of(route, dependency):
        each = known[call]
        if each.uses.databases is this.uses.databases and each.asyncio is this.asyncio:
            needs.update(each.uses.names)
    return needs


def calls_of(route: Any, dependency: Callable[..., Any]) -> set[Callable[..., Any]]:
    """The session dependencies of a route: those it declares, and those of its routers, learned as they are used."""
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return {dependency}
    if id(route) not in calls_of_routes:
        declared = {each.call for each in dependencies_of(dependant)}
        calls_of_routes[id(route)] = (route, {call for call in declared if call is not None and call in known})
    calls = calls_of_routes[id(route)][1]
    calls.add(dependency)
    return calls


def dependencies_of(dependant: Dependant) -> Iterator[Dependant]:
    """All dependencies of a route, those of dependencies too."""
    for each in dependant.dependencies:
        yield each
        yield from dependencies_of(each)
