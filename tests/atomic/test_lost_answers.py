"""Answers and questions that get lost on the wire: at PREPARE, at the COMMIT that decides, at COMMIT PREPARED."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from manybase import CommitError, InDoubtError, NotCommitted, Session
from manybase.coordinators import identity_of
from manybase.recovery import in_doubt
from tests.atomic.conftest import Prepare
from tests.atomic.dying import Commit, in_process, was_killed
from tests.atomic.proxy import COMMIT, FINISH, PREPARE, Loses, Proxy, proxy
from tests.atomic.recovering import count, prepared, recover, run, wait_until_alone
from tests.atomic.topologies import MIXED, TWO, XA, Topology
from tests.atomic.torture import both_kinds, postgresql_drivers
from tests.ledgers import write
from tests.servers.mixed import Drivers

pytestmark = pytest.mark.once


@dataclass(frozen=True)
class Place:
    """Which packet it is, and whose."""

    topology: Topology
    name: str
    packet: bytes

    def __str__(self) -> str:
        return f"{self.topology}:{ {PREPARE: 'PREPARE', COMMIT: 'COMMIT', FINISH: 'COMMIT PREPARED'}[self.packet] }"

    def commits(self, loses: Loses) -> bool:
        """Whether the commit is one, where the question or the answer got lost here."""
        return self.packet == FINISH or (self.packet == COMMIT and loses == "answer")


PLACES = [
    Place(TWO, "second", PREPARE),
    Place(XA, "second", PREPARE),
    Place(TWO, "first", COMMIT),
    Place(MIXED, "second", COMMIT),
    Place(TWO, "second", FINISH),
    Place(XA, "second", FINISH),
]
DECISIONS = [each for each in PLACES if each.packet == COMMIT]
every_place = pytest.mark.parametrize("place", PLACES, ids=str)
both_losses = pytest.mark.parametrize("loses", ["question", "answer"])


def through(commit: Commit, name: str, between: Proxy) -> Commit:
    """The same commit, with the proxy before one of its databases."""
    return replace(commit, urls={**commit.urls, name: between.url})


def make_decision_tables(commit: Commit) -> None:
    databases = commit.in_sync().declare()
    for name in databases.names:
        identity_of(databases, name, asyncio=False)


def settled(commit: Commit) -> dict[str, int]:
    """The rows once all connections of the past are gone and recovery is through; nothing is in doubt then."""
    databases = commit.in_sync().declare()
    wait_until_alone(commit.urls.values())
    recover(databases)
    assert ([], []) == (in_doubt(databases), prepared(commit.urls, commit.app))
    return count(commit.urls)


@postgresql_drivers
@every_place
def test_process_that_is_killed_before_it_hears_the_answer(
    commit_over: Prepare, drivers: Drivers, place: Place
) -> None:
    """Nowhere after PREPARE, everywhere after the COMMIT that decides."""
    commit = commit_over(place.topology, drivers)
    make_decision_tables(commit)
    pids: SimpleQueue[int] = SimpleQueue()
    with proxy(commit.urls[place.name]) as between:
        between.set_trap(place.packet, "answer", lambda: os.kill(pids.get(timeout=20), signal.SIGKILL))
        code = in_process(through(commit, place.name, between).run, then=pids.put)

    assert was_killed(code)
    assert dict.fromkeys(place.topology.names, int(place.commits("answer"))) == settled(commit)


@postgresql_drivers
@every_place
@both_losses
def test_session_that_loses_a_connection(commit_over: Prepare, drivers: Drivers, place: Place, loses: Loses) -> None:
    """What it is told is true: success is everywhere, and NotCommitted is nowhere."""
    commit = commit_over(place.topology, drivers)
    make_decision_tables(commit)
    with proxy(commit.urls[place.name]) as between:
        told = committed(through(commit, place.name, between), partial(between.set_trap, place.packet, loses))
        assert between.sprung.is_set()

    committing = place.commits(loses)
    assert (None if committing else NotCommitted) == told
    assert dict.fromkeys(place.topology.names, int(committing)) == settled(commit)


@both_kinds
@pytest.mark.parametrize("place", DECISIONS, ids=str)
@both_losses
def test_coordinator_that_cannot_be_asked(commit_over: Prepare, drivers: Drivers, place: Place, loses: Loses) -> None:
    """It is in doubt, and the error says so; once the coordinator answers again, recovery ends it as it was decided."""
    commit = commit_over(place.topology, drivers)
    make_decision_tables(commit)
    with proxy(commit.urls[place.name]) as between:
        told = committed(
            through(commit, place.name, between), lambda: between.set_trap(place.packet, loses, between.refuse)
        )

    assert InDoubtError is told
    assert dict.fromkeys(place.topology.names, int(loses == "answer")) == settled(commit)


def committed(commit: Commit, before: Callable[[], object]) -> type[CommitError] | None:
    """What a commit raises, in a session that lives, after `before` was called."""
    databases = commit.declare(commit_timeout=2)

    def body() -> Any:
        with Session(databases, asyncio=commit.asyncio) as session:
            write(session, *commit.urls)
            before()
            try:
                session.commit()
            except CommitError as error:
                return type(error)
            finally:
                session.close()
        return None

    return run(commit.asyncio, body, databases)
