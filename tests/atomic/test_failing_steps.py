"""A session that lives on when its commit fails, is cancelled or interrupted, at each step."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import manybase.atomic
from manybase import AsyncSession, Session
from manybase.testing import fail_at
from manybase.testing.failing import Failure
from tests.atomic.conftest import Prepare
from tests.atomic.dying import Commit
from tests.atomic.recovering import count, prepared, recover
from tests.atomic.topologies import IN_A_FILE, MIXED, TWO, XA, Point, Topology, commits
from tests.atomic.torture import TORTURE, both_kinds
from tests.ledgers import write
from tests.servers.mixed import DRIVERS, Drivers
from tests.sessions import assert_idle, run_async

SYNC = [each for each in DRIVERS if not each.kind.asyncio][: None if TORTURE else 1]
ASYNC = [each for each in DRIVERS if each.kind.asyncio][: None if TORTURE else 1]
Ended = dict[Point, tuple[Any, dict[str, int]]]

every_kind_of_company = pytest.mark.parametrize("topology", [TWO, MIXED, XA, IN_A_FILE], ids=str)


@pytest.fixture(autouse=True)
def forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manybase.atomic, "FORGET_AFTER", 1)


def at_each_step(commit: Commit, session: Session, points: list[Point], error: Any) -> Ended:
    """How a commit that meets this error ended at each step, and how many rows it left, once recovered."""
    ended: Ended = {}
    before = count(commit.urls)
    for step, database in points:
        write(session, *commit.urls)
        with fail_at(step, database, error=error):
            told = outcome(session.commit)
        session.close()
        if prepared(commit.urls, commit.app):
            recover(session.databases, asyncio=commit.asyncio)
        after = count(commit.urls)
        ended[step, database] = told, {name: after[name] - before[name] for name in after}
        before = after
    assert [] == prepared(commit.urls, commit.app)
    write(session, *commit.urls)
    session.commit()
    assert {name: number + 1 for name, number in before.items()} == count(commit.urls)
    return ended


def outcome(act: Callable[[], object]) -> Any:
    try:
        act()
    except BaseException as error:
        return type(error)
    return "success"


def everywhere(topology: Topology, told: Any) -> tuple[Any, dict[str, int]]:
    return told, dict.fromkeys(topology.names, 1)


def nowhere(topology: Topology, told: Any) -> tuple[Any, dict[str, int]]:
    return told, dict.fromkeys(topology.names, 0)


@both_kinds
@every_kind_of_company
def test_failure_at_each_step(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """Before the coordinator is committed: an error, and nothing anywhere. From then on: success, and everything."""
    commit = commit_over(topology, drivers)

    ended = drivers.kind.run(
        commit.declare(), lambda session: at_each_step(commit, session, topology.points(), Failure)
    )

    assert {
        point: everywhere(topology, "success") if commits(point[0]) else nowhere(topology, Failure)
        for point in topology.points()
    } == ended


@pytest.mark.parametrize("drivers", SYNC, ids=str)
@every_kind_of_company
def test_ctrl_c_at_each_step(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """It stays what it is, and the commit is whole: in all databases or in none."""
    commit = commit_over(topology, drivers)

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    ended = drivers.kind.run(commit.declare(), lambda session: at_each_step(commit, session, topology.points(), press))

    for point, (told, added) in ended.items():
        assert (point, KeyboardInterrupt) == (point, told)
        assert len(set(added.values())) == 1, (point, added)
        assert not commits(point[0]) or set(added.values()) == {1}, (point, added)


@pytest.mark.parametrize("drivers", ASYNC, ids=str)
@every_kind_of_company
def test_task_that_is_cancelled_at_each_step(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """It stays cancelled, its note says how the commit ended, and that is true; its connections are whole."""
    commit = commit_over(topology, drivers)

    async def cancelled_at(session: AsyncSession, point: Point) -> asyncio.CancelledError:
        async def work() -> None:
            await session.run_sync(write, *topology.names)
            task = asyncio.current_task()
            assert task is not None
            with fail_at(*point, error=task.cancel, times=1):
                await session.commit()

        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.create_task(work())
        await session.close()
        return caught.value

    databases = commit.declare()

    async def body(session: AsyncSession) -> Any:
        ended = {}
        for point in topology.points()[:-1]:  # after the last one, it strikes when SQLAlchemy gives back connections
            before = count(commit.urls)
            error = await cancelled_at(session, point)
            assert_idle(databases, asyncio=True)
            if prepared(commit.urls, commit.app):
                await session.run_sync(lambda _: recover(databases, asyncio=True))
            after = count(commit.urls)
            said = [note.partition(" is ")[2] for note in getattr(error, "__notes__", [])]
            ended[point] = said, {name: after[name] - before[name] for name in after}
        before = count(commit.urls)
        await session.run_sync(write, *topology.names)
        await session.commit()
        assert {name: number + 1 for name, number in before.items()} == count(commit.urls)
        return ended

    ended = run_async(databases, body)

    for point, (said, added) in ended.items():
        assert len(set(added.values())) == 1, (point, added)
        how = "committed in all databases." if 1 in added.values() else "committed nowhere."
        assert (point, [how] if said else []) == (point, said)
        assert not commits(point[0]) or {1} == set(added.values()), (point, added)
        assert point[0] == "begun" or said, point
