"""Slots: nobody waits for a connection while he holds one that somebody else needs. Pure, without a database."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import exc

from manybase import ManybaseError, Overloaded
from manybase.slots import Slots, Ticket

BOTH = {"a": 1, "b": 1}


def free(slots: Slots) -> dict[str, int]:
    slots.release({})  # collects what finalizers gave back
    return slots._free


def waiting(slots: Slots, count: int) -> None:
    """Return once that many are in the queue."""
    deadline = time.monotonic() + 5
    while len(slots._waiting) != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_slots_that_are_free() -> None:
    """They are taken at once, all of them or none."""
    slots = Slots({"a": 1, "b": 2})

    assert slots.try_take(BOTH)
    assert not slots.try_take(BOTH)
    assert {"a": 0, "b": 1} == free(slots)


def test_released_slots() -> None:
    """They are as free as before."""
    slots = Slots({"a": 1, "b": 2})
    slots.try_take(BOTH)
    slots.release(BOTH)

    assert {"a": 1, "b": 2} == free(slots)


def test_database_without_a_bound() -> None:
    """Its connections need no slot."""
    slots = Slots({"a": 1})

    assert slots.try_take({"memory": 1000})
    assert {"a": 1} == free(slots)


def test_ticket_is_taken_once() -> None:
    """Taking it again changes nothing, nor does giving it back twice."""
    slots = Slots({"a": 2})
    ticket = Ticket(slots, {"a": 1}, 1)
    ticket.take()
    ticket.take()
    assert {"a": 1} == free(slots)
    ticket.release()
    ticket.release()

    assert {"a": 2} == free(slots)


def test_more_than_there_ever_is() -> None:
    """All of them must do: waiting for more would never end."""
    slots = Slots({"a": 2})
    ticket = Ticket(slots, {"a": 5}, 1)
    ticket.take()
    assert {"a": 0} == free(slots)
    ticket.release()

    assert {"a": 2} == free(slots)


Take = Callable[[Ticket], None]


@pytest.fixture(params=["sync", "async"])
def take(request: pytest.FixtureRequest) -> Take:
    """Takes a ticket in this thread, or in an event loop."""
    return Ticket.take if request.param == "sync" else lambda ticket: asyncio.run(ticket.take_async())


def test_no_slot_in_time(take: Take) -> None:
    """Overloaded after the timeout, of SQLAlchemy's family, with the facts; nothing is held and nothing is lost."""
    slots = Slots({"a": 1, "b": 1})
    slots.try_take({"a": 1})
    late = Ticket(slots, BOTH, 0.05)
    start = time.monotonic()
    with pytest.raises(Overloaded, match=r"No connection to a, b came free within 0\.05 s.*pool_size") as caught:
        take(late)
    waited = time.monotonic() - start

    assert (("a", "b"), 0.05) == (caught.value.databases, caught.value.seconds)
    assert isinstance(caught.value, exc.TimeoutError)
    assert isinstance(caught.value, ManybaseError)
    assert 0.05 <= waited < 2
    assert not late.taken
    assert {"a": 0, "b": 1} == free(slots)
    assert {} == slots._waiting


def test_slot_that_comes_free_while_waiting(take: Take) -> None:
    """The one who waits gets it."""
    slots = Slots({"a": 1})
    slots.try_take({"a": 1})
    ticket = Ticket(slots, {"a": 1}, 5)
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(take, ticket)
        waiting(slots, 1)
        slots.release({"a": 1})
        taken.result(5)

    assert ticket.taken


def test_order_of_arrival() -> None:
    """Those who wait for the same database are served in the order in which they came."""
    slots = Slots({"a": 1})
    slots.try_take({"a": 1})
    served: list[int] = []
    for number in range(5):
        slots.request({"a": 1}).add_done_callback(lambda _, number=number: served.append(number))  # type: ignore[misc]
    for _ in range(5):
        slots.release({"a": 1})

    assert [0, 1, 2, 3, 4] == served


def test_large_need_behind_which_small_ones_arrive() -> None:
    """It is not overtaken for ever on the database it waits for."""
    slots = Slots({"a": 2})
    slots.try_take({"a": 1})
    large, small = slots.request({"a": 2}), slots.request({"a": 1})

    assert not small.done()
    slots.release({"a": 1})
    assert [True, False] == [large.done(), small.done()]


def test_one_who_waits_for_another_database() -> None:
    """Waiting for A holds up nobody who needs only B."""
    slots = Slots({"a": 1, "b": 1})
    slots.try_take({"a": 1})
    first, second, third = (slots.request(needs) for needs in (BOTH, {"b": 1}, {"c": 1}))

    assert [False, True, True] == [first.done(), second.done(), third.done()]


def test_one_who_leaves_the_queue() -> None:
    """Those behind him move up."""
    slots = Slots({"a": 2})
    slots.try_take({"a": 1})
    large, small = slots.request({"a": 2}), slots.request({"a": 1})
    slots.withdraw(large, {"a": 2})

    assert small.done()


def test_task_that_is_cancelled_while_it_waits() -> None:
    """It stays cancelled, and its place goes to the next one."""

    async def main() -> list[bool]:
        slots = Slots({"a": 1})
        holder, cancelled, patient = (Ticket(slots, {"a": 1}, 5) for _ in range(3))
        await holder.take_async()
        first, second = (asyncio.create_task(each.take_async()) for each in (cancelled, patient))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        holder.release()
        await second
        return [cancelled.taken, patient.taken]

    assert [False, True] == asyncio.run(main())


def test_task_that_is_cancelled_just_after_it_was_served() -> None:
    """What it had been given goes back."""

    async def main() -> dict[str, int]:
        slots = Slots({"a": 1})
        holder, unlucky = Ticket(slots, {"a": 1}, 5), Ticket(slots, {"a": 1}, 5)
        await holder.take_async()
        task = asyncio.create_task(unlucky.take_async())
        await asyncio.sleep(0)
        holder.release()  # serves the task, which does not run yet
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return free(slots)

    assert {"a": 1} == asyncio.run(main())


def test_task_that_is_served_in_time_by_a_loop_that_is_late() -> None:
    """It has its slots: that the loop could not run meanwhile is not its fault."""

    async def main() -> bool:
        slots = Slots({"a": 1})
        holder, patient = Ticket(slots, {"a": 1}, 5), Ticket(slots, {"a": 1}, 0.02)
        await holder.take_async()
        task = asyncio.create_task(patient.take_async())
        await asyncio.sleep(0)
        holder.release()
        time.sleep(0.1)  # the loop hears of the slots and of the timeout at once
        await task
        return patient.taken

    assert asyncio.run(main())


def test_ticket_that_is_dropped() -> None:
    """Its slots come back without release()."""
    slots = Slots({"a": 1})
    Ticket(slots, {"a": 1}, 1).take()
    gc.collect()

    assert slots.try_take({"a": 1})


def test_ticket_that_is_dropped_while_somebody_counts() -> None:
    """Whoever counts sees it afterwards: a finalizer does not wait for him."""
    slots = Slots({"a": 1})
    tickets = [Ticket(slots, {"a": 1}, 1)]
    tickets[0].take()

    class Counted(dict[str, int]):
        def items(self) -> Any:
            tickets.clear()  # the collector may come at any moment
            gc.collect()
            return super().items()

    assert slots.request(Counted(a=1)).done()


def test_slots_that_are_dropped_while_somebody_takes_others() -> None:
    """Whoever waits for them gets them, and not only their count grows."""
    slots = Slots({"a": 1, "b": 1})
    assert slots.try_take({"a": 1})
    patient = slots.request({"a": 1})

    with slots._lock:
        slots.drop({"a": 1})  # as a finalizer would, in a thread that has to wait for the lock
    assert not patient.done()
    slots.try_take({"b": 1})

    assert patient.done()


def test_ticket_that_is_dropped_while_another_one_waits(take: Take) -> None:
    """The waiting one gets its slot, well before its timeout."""
    slots = Slots({"a": 1})
    dropped = Ticket(slots, {"a": 1}, 5)
    dropped.take()
    patient = Ticket(slots, {"a": 1}, 5)
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(take, patient)
        waiting(slots, 1)
        del dropped
        gc.collect()
        taken.result(10)

    assert patient.taken


def test_many_threads_in_opposite_order() -> None:
    """No count goes wrong: never more holders than slots, and all are free at the end."""
    slots = Slots({"a": 2, "b": 2})
    lock, inside, most = threading.Lock(), [0], [0]

    def work(number: int) -> None:
        ticket = Ticket(slots, {"a": 1, "b": 1} if number % 2 else {"b": 1, "a": 1}, 30)
        for _ in range(20):
            ticket.take()
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0)
            with lock:
                inside[0] -= 1
            ticket.release()

    with ThreadPoolExecutor(40) as threads:
        list(threads.map(work, range(40)))

    assert most[0] <= 2
    assert {"a": 2, "b": 2} == free(slots)


def test_two_sessions_that_wait_on_one_ticket() -> None:
    """What they wait for is taken once, so that giving it back once frees it."""

    async def main() -> int:
        slots = Slots({"shop": 1})
        assert slots.try_take({"shop": 1})
        shared = Ticket(slots, {"shop": 1}, 5)
        waiting = [asyncio.create_task(shared.take_async()) for _ in range(2)]
        await asyncio.sleep(0.01)
        slots.release({"shop": 1})
        await asyncio.gather(*waiting)
        shared.release()
        return slots._free["shop"]

    assert 1 == asyncio.run(main())


def test_retired_ticket() -> None:
    """It takes nothing any more, and nobody waits for it."""
    slots = Slots({"shop": 1})
    ticket = Ticket(slots, {"shop": 1}, 5)
    ticket.take()
    ticket.retire()
    ticket.take()

    assert (False, 1) == (ticket.taken, slots._free["shop"])
