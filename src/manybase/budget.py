"""Budget: how many connections and tenant engines a process may have, and who is to get the next one.

A session asks for all it may need at once and gets all or nothing, in order of arrival, as with slots. What it gets is
a right: whoever then connects while all connections are open closes an idle one of somebody else's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from typing import Any

from manybase.errors import Overloaded
from manybase.slots import Slots
from manybase.tenants import AT

CONNECTIONS = "connections"
ENGINES = "engines"
RESERVED = 2  # connections for what is nobody's session: health, recovery, directories
OVERTAKEN = 0.05  # seconds for which somebody who waits for an engine lets others use those that are there


class Budget(Slots):
    """Counts of connections and tenant engines. ``needs``: ``CONNECTIONS`` of any kind, and one or more of each place.

    A place is a tenant engine, by whatever names it. ``sizes`` says how many connections of one place there may be.
    """

    def __init__(self, connections: int | None, engines: int, sizes: Mapping[str, int]) -> None:
        super().__init__({})
        self.connections = connections
        self.engines = engines
        self._rights = None if connections is None else max(1, connections - RESERVED)
        self._sizes = dict(sizes)
        self._used: Counter[Hashable] = Counter()  # rights to connections, and leases of places
        self._leased = 0  # places that somebody uses
        self._since: dict[Future[None], float] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @property
    def in_use(self) -> int:
        """Rights to connections that somebody holds."""
        return self._used[CONNECTIONS]

    def is_leased(self, place: Hashable) -> bool:
        """Whether somebody uses an engine, so that it must not be closed."""
        return self._used[place] > 0

    def _enter(self, future: Future[None], needs: Any) -> None:
        super()._enter(future, needs)
        self._since[future] = time.monotonic()

    def _serve(self) -> None:
        self._collect_dropped()
        short: set[Hashable] = set()
        for future, needs in list(self._waiting.items()):
            if future.cancelled():
                continue
            lacking = self._lacking(needs)
            if not lacking and not self._is_behind(needs, short) and future.set_running_or_notify_cancel():
                del self._waiting[future]
                del self._since[future]
                self._take(needs)
                future.set_result(None)
            elif ENGINES in lacking and time.monotonic() - self._since[future] > OVERTAKEN:
                lacking = {*lacking, *self._used} - {CONNECTIONS}  # his turn: one of those in use is to come free
            short |= lacking
            if CONNECTIONS in short:
                return  # which everybody needs

    def _is_behind(self, needs: Mapping[Any, int], short: set[Hashable]) -> bool:
        """Whether an earlier one waits for something that is needed here."""
        if not short.isdisjoint(needs):
            return True
        return ENGINES in short and any(self.is_new(name) for name in needs)

    def is_new(self, place: Hashable) -> bool:
        return place != CONNECTIONS and self._used[place] == 0

    def _lacking(self, needs: Mapping[Any, int]) -> set[Any]:
        lacking: set[Any] = set()
        for name, count in needs.items():
            if name == CONNECTIONS:
                if self._rights is not None and self._used[name] + min(count, self._rights) > self._rights:
                    lacking.add(name)
                continue
            size = self._size(name)
            if size is not None and self._used[name] + min(count, size) > size:
                lacking.add(name)
        new = sum(self.is_new(name) for name in needs)
        if new and self._leased + min(new, self.engines) > self.engines:
            lacking.add(ENGINES)
        return lacking

    def _size(self, place: Any) -> int | None:
        return self._sizes.get(place[0].partition(AT)[0])

    def _take(self, needs: Mapping[Any, int]) -> None:
        for name, count in needs.items():
            self._leased += self.is_new(name)
            self._used[name] += count

    def _give_back(self, needs: Mapping[Any, int]) -> None:
        for name, count in needs.items():
            self._used[name] -= count
            if name != CONNECTIONS and self._used[name] <= 0:
                del self._used[name]
                self._leased -= 1

    def withdraw(self, future: Future[None], needs: Any) -> None:
        self._since.pop(future, None)
        super().withdraw(future, needs)

    def refusal(self, needs: Mapping[Any, int], seconds: float) -> Overloaded:
        names = sorted({name[0].partition(AT)[0] for name in needs if name != CONNECTIONS})
        return Overloaded(
            names, seconds, limits={"max_connections": self.connections, "max_tenant_engines": self.engines}
        )
