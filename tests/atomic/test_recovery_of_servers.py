"""Servers that are killed during a commit, servers that become replicas, and recoverers that are killed themselves."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from threading import Thread

import pytest

from manybase import InDoubtError, Session
from manybase.recovery import resolve
from manybase.steps import Step
from manybase.testing import fail_at
from tests.atomic.conftest import Prepare
from tests.atomic.dying import Commit, in_process, was_killed
from tests.atomic.leaving import elsewhere, leave
from tests.atomic.proxy import FINISH, proxy
from tests.atomic.recovering import count, do, prepared, recover, recover_in_process, run, wait_until_alone
from tests.atomic.topologies import MIXED, TWO, XA, Topology
from tests.atomic.torture import both_kinds
from tests.ledgers import NAMES, write
from tests.servers import postgresql as starter
from tests.servers.mixed import Drivers
from tests.servers.server import Server


def committed(commit: Commit, server: Server, step: Step) -> bool:
    """Whether a commit says that it succeeded, though this server was killed at that step; else it is in doubt."""
    databases = commit.declare(commit_timeout=1)

    def body() -> bool:
        with Session(databases, asyncio=commit.asyncio) as session:
            write(session, *commit.urls)
            with fail_at(step, error=server.kill, times=1):
                try:
                    session.commit()
                except InDoubtError:
                    return False
                finally:
                    session.close()
        return True

    return run(commit.asyncio, body, databases)


def settled(commit: Commit, server: Server) -> dict[str, int]:
    server.start()
    wait_until_alone(commit.urls.values())
    recover(commit.in_sync().declare())
    assert [] == prepared(commit.urls, commit.app)
    return count(commit.urls)


@both_kinds
@pytest.mark.parametrize("step", ["all prepared", "committed"])
def test_participant_whose_server_is_killed(
    commit_over: Prepare, drivers: Drivers, private_postgresql: Server, step: Step
) -> None:
    """It is prepared: the commit is one, and the server that comes back gets its part."""
    commit = commit_over(MIXED, drivers)

    assert committed(commit, private_postgresql, step)

    assert {"first": 1, "second": 1} == settled(commit, private_postgresql)


@both_kinds
@pytest.mark.parametrize(("step", "rows"), [("all prepared", 0), ("deciding", 0), ("committed", 1)])
@pytest.mark.parametrize("topology", [MIXED, XA], ids=str)
def test_coordinator_whose_server_is_killed(
    commit_over: Prepare, drivers: Drivers, private_mariadb: Server, topology: Topology, step: Step, rows: int
) -> None:
    """Before its COMMIT: in doubt, and in the end nowhere. After it: a success, and in the end everywhere."""
    commit = commit_over(topology, drivers)

    assert bool(rows) == committed(commit, private_mariadb, step)

    assert dict.fromkeys(topology.names, rows) == settled(commit, private_mariadb)


@both_kinds
@pytest.mark.parametrize("step", ["all prepared", "committed"])
def test_recoverer_that_is_killed_beside_another(commit_over: Prepare, drivers: Drivers, step: Step) -> None:
    """Two at once, one of them dies in the middle: everything ends, and as it was decided."""
    commit = commit_over(TWO, drivers)
    leave(commit, step, times=4)
    pids: SimpleQueue[int] = SimpleQueue()
    ending = FINISH if step == "committed" else rb"ROLLBACK PREPARED"
    with proxy(commit.urls["second"]) as between:
        between.set_trap(ending, "answer", lambda: os.kill(pids.get(timeout=20), signal.SIGKILL))
        code = in_process(recover_in_process, elsewhere(commit, "second", between.url), then=pids.put)
    assert was_killed(code)

    threads = [Thread(target=in_process, args=(recover_in_process, commit)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == prepared(commit.urls, commit.app)
    assert dict.fromkeys(TWO.names, 4 if step == "committed" else 0) == count(commit.urls)


@pytest.fixture
def own_postgresql(postgresql: Server) -> Iterator[Server]:
    """A server that no other test uses."""
    server = starter.start_private()
    yield server
    server.close()


@both_kinds
def test_postgresql_that_is_a_replica(own_postgresql: Server, drivers: Drivers, app: str) -> None:
    """It is left alone until it is promoted."""
    urls = {
        name: own_postgresql.create_database().set(drivername=f"postgresql+{drivers.postgresql}") for name in NAMES[:2]
    }
    commit = Commit(urls, app, drivers.kind.asyncio)
    databases = commit.in_sync().declare()
    databases.create_all()
    databases.dispose()
    leave(commit, "committed")
    demote(own_postgresql)
    databases = commit.declare()

    report = run(commit.asyncio, partial(resolve, databases, min_age=0, asyncio=commit.asyncio), databases)

    assert ([], []) == (report.resolutions, report.unreachable)
    do(urls["first"], "SELECT pg_promote()")
    assert 1 == len(prepared(urls, app))
    recover(commit.in_sync().declare())
    assert dict.fromkeys(urls, 1) == count(urls)


def demote(server: Server) -> None:
    """It starts again as a replica, of nobody."""
    assert server.process is not None
    server.stop()
    (server.process.directory.path / "data" / "standby.signal").touch()
    server.start()
