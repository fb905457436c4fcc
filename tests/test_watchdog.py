"""A thread that waits for a server is let go when time is up, and nobody else's connection suffers."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from manybase.concurrency import Uninterrupted
from manybase.watchdog import Watch, watch_on, watchdog
from tests.forks import in_child

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(10)
        yield one, other


def watch(mine: socket.socket, seconds: float) -> Watch:
    watch = watch_on(mine.fileno(), seconds)
    assert watch is not None
    return watch


def heard(pair: Pair, seconds: float) -> tuple[bytes, bool]:
    """What arrives while it is watched, and whether time was up."""
    this = watch(pair[0], seconds)
    with watchdog().watching(this):
        return pair[0].recv(10), this.expired


def test_time_is_up(pair: Pair) -> None:
    """Who waits finds the connection closed, and so does the other side."""
    assert (b"", True) == heard(pair, 0.05)
    assert b"" == pair[1].recv(10)


def test_answer_in_time(pair: Pair) -> None:
    """The connection stays open afterwards."""
    pair[1].send(b"answer")

    assert (b"answer", False) == heard(pair, 0.2)

    time.sleep(0.3)
    pair[1].send(b"later")
    assert b"later" == pair[0].recv(10)


def test_earlier_deadline_than_the_one_before(pair: Pair) -> None:
    one, other = socket.socketpair()
    with one, other, watchdog().watching(watch(one, 60)):
        started = time.monotonic()
        assert (b"", True) == heard(pair, 0.05)
        assert time.monotonic() - started < 10


def test_number_that_another_connection_has_got_meanwhile() -> None:
    """Only the connection that was watched is shut down."""
    mine, far = socket.socketpair()
    this = watch(mine, 0.05)
    with far, watchdog().watching(this):
        number = mine.detach()
        with socket.socket(fileno=number):
            pass
        one, other = socket.socketpair()
        with one, other:
            assert number in (one.fileno(), other.fileno())
            assert b"" == far.recv(10)
            assert this.expired
            other.send(b"alive")
            assert b"alive" == one.recv(10)


def test_closed_connection() -> None:
    """It cannot be watched: who wants to know runs the job elsewhere."""
    with socket.socket() as closed:
        number = closed.fileno()

    assert watch_on(number, 1) is None
    assert [1, 2] == Uninterrupted(asyncio=False).run([lambda: 1, lambda: 2], 1, socket=number)


def test_job_in_this_thread(pair: Pair) -> None:
    """The last one, and only that one; it counts as timed out when its socket was shut down."""
    steps = Uninterrupted(asyncio=False)

    def where() -> int:
        return threading.get_ident()

    first, last = steps.run([where, where], 5, socket=pair[0].fileno())
    assert (True, True) == (first != where(), last == where())
    (late,) = steps.run([lambda: pair[0].recv(10)], 0.05, socket=pair[0].fileno())
    assert isinstance(late, TimeoutError)


def test_interruption_of_a_job_in_this_thread(pair: Pair) -> None:
    """Ctrl-C there is kept for later, as that of a job elsewhere."""
    steps = Uninterrupted(asyncio=False)

    def press() -> None:
        raise KeyboardInterrupt

    (ended,) = steps.run([press], 5, socket=pair[0].fileno())
    assert isinstance(ended, KeyboardInterrupt)
    assert ended is steps.interruption


def test_thread_ends_when_nothing_is_watched(pair: Pair) -> None:
    heard(pair, 0.05)
    deadline = time.monotonic() + 10
    while any(each.name == "manybase watchdog" for each in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert "manybase watchdog" not in {each.name for each in threading.enumerate()}


def test_forked_child(pair: Pair) -> None:
    """It watches by itself, while its parent does."""
    with watchdog().watching(watch(pair[1], 60)):
        assert "(b'', True)" == in_child(lambda: heard(pair, 0.05))


def test_deadline_that_never_comes(pair: Pair) -> None:
    """It does not keep the others from being watched."""
    one, other = socket.socketpair()
    with one, other, watchdog().watching(watch(one, float("inf"))):
        assert (b"", True) == heard(pair, 0.05)
