"""kill -9 at each step of a commit, over each kind of company; then another process recovers."""

from dataclasses import replace
from functools import partial

import pytest

from manybase import Databases
from manybase.recovery import InDoubt, in_doubt
from tests.atomic.conftest import Prepare
from tests.atomic.dying import in_process, steps_of, was_killed
from tests.atomic.recovering import count, decisions, prepared, recover, run, wait_until_alone
from tests.atomic.topologies import TOPOLOGIES, Topology, commits
from tests.atomic.torture import REPEATS, both_kinds
from tests.servers.mixed import Drivers

pytestmark = pytest.mark.once

every_topology = pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)


@every_topology
@both_kinds
def test_steps_of_a_commit(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """It passes through every step, each once for each database that the step is of: the kills miss none."""
    commit = commit_over(topology, drivers)

    reached = steps_of(commit)

    assert sorted(topology.points(), key=str) == sorted(reached, key=str)


@every_topology
@both_kinds
def test_kill_at_each_step(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """What dies before "committed" is nowhere, what dies from there on is everywhere; nothing stays in doubt."""
    commit = commit_over(topology, drivers)
    databases = commit.declare()
    before = count(commit.urls)
    for point in topology.points() * REPEATS:
        code = in_process(replace(commit, kill_at=point).run)
        assert was_killed(code), (point, code)
        wait_until_alone(commit.urls.values())

        doubts = run(commit.asyncio, partial(recover_and_look, databases, asyncio=commit.asyncio), databases)

        after = count(commit.urls)
        added = {name: after[name] - before[name] for name in topology.names}
        assert (point, dict.fromkeys(topology.names, int(commits(point[0])))) == (point, added)
        assert (point, [], []) == (
            point,
            doubts,
            prepared(commit.urls, commit.app),
        )
        before = after
    assert (0, 0) == (decisions(commit.urls, "commit"), decisions(commit.urls, "prepared"))


def recover_and_look(databases: Databases, *, asyncio: bool) -> list[InDoubt]:
    recover(databases, asyncio=asyncio)
    return in_doubt(databases, asyncio=asyncio)
