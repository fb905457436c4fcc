"""A few seconds of chaos for each topology; `make torture` is the same for half an hour."""

from collections.abc import Iterator

import pytest

from tests.chaos import trial
from tests.chaos.topologies import TOPOLOGIES, Servers, Topology
from tests.chaos.trial import Trial
from tests.servers.postgresql import start_private
from tests.servers.server import Server

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def second_postgresql(postgresql: Server) -> Iterator[Server]:
    """One more, where there can be one at all."""
    server = start_private()
    yield server
    server.close()


@pytest.fixture
def servers(private_postgresql: Server, second_postgresql: Server, private_mariadb: Server) -> Servers:
    return {"first": private_postgresql, "second": second_postgresql, "mariadb": private_mariadb}


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
def test_killed_processes_and_servers(topology: Topology, servers: Servers) -> None:
    """Each unit is in all databases or in none; clients were told the truth; recovery leaves nothing prepared."""
    outcome = trial.run(Trial(topology=topology, kills=50, restart_every=2), servers)

    assert [] == outcome.violations


def test_recovery_that_presumes_abort(servers: Servers) -> None:
    """It tears commits, and is seen to: without the row that recovery leaves, a coordinator still commits."""
    outcome = trial.run(Trial(topology=TOPOLOGIES[1], kills=30, recoveries=60, presuming=True), servers)

    assert outcome.verdict.split
    assert outcome.verdict.missing
