"""Bounds: what a process may have open, and how its engines and sessions keep to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from manybase.budget import CONNECTIONS, RESERVED, Budget
from manybase.connecting import Wrap
from manybase.database import Database
from manybase.errors import ConfigurationError
from manybase.openings import Openings
from manybase.slots import BothTickets, Ticket
from manybase.tenant_engines import leading_to_tenant


class Bounds:
    """A budget of rights, and a count of the connections that are open; neither, where nothing is bounded.

    ``sizes`` are those of the pools of tenants, by database; ``free`` closes a connection that nobody uses.
    """

    def __init__(
        self,
        connections: int | None,
        engines: int,
        *,
        tenants: bool,
        sizes: Mapping[str, int],
        timeout: float,
        free: Callable[[], bool],
    ) -> None:
        self.connections = connections
        self.engines = engines
        self._sizes = sizes
        self._timeout = timeout
        bounded = tenants or connections is not None
        self.budget = Budget(connections, engines, sizes) if bounded else None
        self.openings = None if connections is None else Openings(connections, timeout, free)

    def wrap(self, *, tenants: bool) -> Wrap | None:
        """What is put around the connecting of an engine, or of those of ``tenants``."""
        counting = self.openings.counting if self.openings is not None else None
        if not tenants:
            return counting
        return leading_to_tenant if counting is None else lambda connect: leading_to_tenant(counting(connect))

    def watch(self, engine: Engine) -> None:
        if self.openings is not None:
            self.openings.watch(engine)

    def ticket(
        self, ticket: Ticket, needs: Mapping[str, int], places: Iterable[tuple[Any, int]]
    ) -> Ticket | BothTickets:
        """The ticket of the pools, and with it the right to as many connections, and to the engines at ``places``."""
        shares: dict[Any, int] = {CONNECTIONS: sum(needs.values()), **dict(places)}
        if self.budget is None or (self.connections is None and len(shares) == 1):
            return ticket
        return BothTickets(ticket, Ticket(self.budget, shares, self._timeout))

    def lease(self, places: Iterable[tuple[Any, int]]) -> Ticket:
        """The right to the engines at ``places`` alone."""
        assert self.budget is not None
        return Ticket(self.budget, dict(places), self._timeout)

    def forget(self) -> None:
        """In a forked child: whatever is open, or held by somebody, is the parent's."""
        if self.budget is not None:
            self.budget = Budget(self.connections, self.engines, self._sizes)
        if self.openings is not None:
            self.openings.forget()


def check_limits(databases: tuple[Database, ...], connections: int | None, engines: int) -> None:
    least = len(databases) + RESERVED
    if connections is not None and connections < least:
        raise ConfigurationError(
            f"max_connections={connections} is too few: a session may need one of each database, and {RESERVED} are "
            f"kept for health and recovery. Give at least {least}."
        )
    if engines < sum(each.tenants is not None for each in databases):
        raise ConfigurationError(
            f"max_tenant_engines={engines} is too few: a session may need one of each database with tenants."
        )
