"""The budget: who gets a connection and an engine, and when."""

import asyncio
import gc
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from manybase.budget import CONNECTIONS, OVERTAKEN, Budget
from manybase.errors import Overloaded
from manybase.slots import BothTickets, Slots, Ticket

ACME, GLOBEX, INITECH = (("crm@acme", 0), ("crm@globex", 0), ("crm@initech", 0))


def ticket(budget: Budget, *places: Any, connections: int = 1, timeout: float = 5) -> Ticket:
    return Ticket(budget, {CONNECTIONS: connections, **dict.fromkeys(places, 1)}, timeout)


def taken(budget: Budget, *places: Any, connections: int = 1) -> Ticket:
    found = ticket(budget, *places, connections=connections)
    assert found.take_at_once()
    return found


def test_connections() -> None:
    """Two are kept for what is nobody's session."""
    budget = Budget(4, 10, {})
    first, second = taken(budget), taken(budget)

    assert not ticket(budget).take_at_once()
    assert 2 == budget.in_use
    first.release()
    assert ticket(budget).take_at_once() is True
    second.release()


def test_more_than_there_ever_are() -> None:
    """Then all of them must do: waiting longer would not help."""
    budget = Budget(4, 1, {"crm": 2})

    assert ticket(budget, ACME, GLOBEX, connections=9).take_at_once()


def test_engines() -> None:
    """As many may be in use; sessions of the same tenant share one."""
    budget = Budget(None, 2, {})
    acme, again, globex = taken(budget, ACME), taken(budget, ACME), taken(budget, GLOBEX)

    assert not ticket(budget, INITECH).take_at_once()
    acme.release()
    assert not ticket(budget, INITECH).take_at_once()
    again.release()
    assert (False, True) == (budget.is_leased(ACME), budget.is_leased(GLOBEX))
    assert ticket(budget, INITECH).take_at_once()
    globex.release()


def test_pool_of_one_engine() -> None:
    """No more sessions of a tenant than its pool has connections; others are not held up by that."""
    budget = Budget(None, 5, {"crm": 1})
    acme = taken(budget, ACME)
    waiting = budget.request({CONNECTIONS: 1, ACME: 1})

    assert ticket(budget, GLOBEX).take_at_once() is False  # somebody waits, so this one joins the queue,
    assert budget.request({CONNECTIONS: 1, GLOBEX: 1}).done()  # and is served
    assert not waiting.done()
    acme.release()
    assert waiting.done()


def test_order_of_arrival() -> None:
    """A small request does not overtake a large one for the connections that both need."""
    budget = Budget(6, 10, {})
    first = taken(budget, connections=3)
    large = budget.request({CONNECTIONS: 4})
    small = budget.request({CONNECTIONS: 1})

    assert [False, False, 2] == [large.done(), small.done(), budget.waiting]
    first.release()
    assert [True, False] == [large.done(), small.done()]


def test_warm_engines_overtake_a_while() -> None:
    """Who waits for an engine lets others use those that are there, but not for ever."""
    budget = Budget(None, 1, {})
    first = taken(budget, ACME)
    cold = budget.request({CONNECTIONS: 1, GLOBEX: 1})

    warm = budget.request({CONNECTIONS: 1, ACME: 1})
    assert [False, True] == [cold.done(), warm.done()]
    time.sleep(OVERTAKEN * 1.5)
    late = budget.request({CONNECTIONS: 1, ACME: 1})
    assert not late.done()
    first.release()
    budget.release({CONNECTIONS: 1, ACME: 1})
    assert [True, False] == [cold.done(), late.done()]
    budget.release({CONNECTIONS: 1, GLOBEX: 1})
    assert late.done()


def test_timeout() -> None:
    """It names the limits, and leaves the queue."""
    budget = Budget(3, 7, {})
    held = taken(budget, ACME)

    with pytest.raises(Overloaded) as caught:
        ticket(budget, GLOBEX, timeout=0.01).take()

    assert "max_connections" in str(caught.value)
    assert "crm" in str(caught.value)
    assert 0 == budget.waiting
    held.release()
    assert 0 == budget.in_use


def test_dropped_ticket() -> None:
    """A session that was dropped without close() gives back what it held, and whoever waits gets it."""
    budget = Budget(3, 1, {})
    held = [taken(budget, ACME)]
    waiting = budget.request({CONNECTIONS: 1, GLOBEX: 1})

    held.clear()
    gc.collect()

    assert waiting.done()
    assert not budget.is_leased(ACME)


def test_cancelled_task() -> None:
    """A task that is cancelled while it waits leaves the queue; one that got its turn just then gives it back."""

    async def main(when: Callable[[Ticket, "asyncio.Task[None]"], None]) -> tuple[int, int]:
        budget = Budget(3, 10, {})
        held, wanted = taken(budget), ticket(budget)
        task = asyncio.create_task(wanted.take_async())
        while not budget.waiting:
            await asyncio.sleep(0)
        when(held, task)
        with pytest.raises(asyncio.CancelledError):
            await task
        held.release()
        return budget.waiting, budget.in_use

    def cancel(_: Ticket, task: "asyncio.Task[None]") -> None:
        task.cancel()

    def grant_and_cancel(held: Ticket, task: "asyncio.Task[None]") -> None:
        held.release()
        task.cancel()

    assert (0, 0) == asyncio.run(main(cancel))
    assert (0, 0) == asyncio.run(main(grant_and_cancel))


def test_both_tickets() -> None:
    """What the second one cannot have is not held of the first one."""
    slots, budget = Slots({"crm": 1}), Budget(3, 10, {})
    held = taken(budget)
    both = BothTickets(Ticket(slots, {"crm": 1}, 0.01), ticket(budget, timeout=0.01))

    assert not both.take_at_once()
    with pytest.raises(Overloaded):
        both.take()
    assert {"crm": 1} == slots._free
    held.release()
    both.take()
    assert both.taken
    both.release()
    assert 0 == budget.in_use


def test_threads() -> None:
    """Many threads of many tenants: never more than allowed, each is served, and nothing is left."""
    budget = Budget(7, 3, {"crm": 2})
    served: list[int] = []
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(20):
            place = (f"crm@t{(number + turn) % 9}", 0)
            mine = ticket(budget, place, timeout=60)
            mine.take()
            state = dict(budget._used)
            leased = [name for name, count in state.items() if name != CONNECTIONS and count > 0]
            if budget.in_use > 5 or len(leased) > 3 or state.get(place, 0) > 2:
                wrong.append(state)
            mine.release()
            served.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert [240, [], 0, 0] == [len(served), wrong, budget.in_use, budget.waiting]
    assert 0 == budget._leased
