"""Fixtures of the tests of replicas: a primary and its replica of each kind, started once, and a table on both."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import URL

from manybase import Databases
from tests.replicas.counters import Pair, declare
from tests.servers.fixtures import _give_up
from tests.servers.programs import ServerNotAvailable
from tests.servers.replicated import ByGtid, Replicated, Streaming, start_mariadb, start_postgresql

P = TypeVar("P", bound=Replicated)


@pytest.fixture(scope="session")
def streaming() -> Iterator[Streaming]:
    """A PostgreSQL with a hot standby."""
    yield from started(start_postgresql)


@pytest.fixture(scope="session")
def by_gtid() -> Iterator[ByGtid]:
    """A MariaDB with a replica."""
    yield from started(start_mariadb)


@pytest.fixture
def own_streaming() -> Iterator[Streaming]:
    """The same, for a test after which they are of no use."""
    yield from started(start_postgresql)


def started(start: Callable[[], P]) -> Iterator[P]:
    try:
        pair = start()
    except ServerNotAvailable as missing:
        _give_up(str(missing))
    yield pair
    pair.close()


@pytest.fixture
def on_postgresql(streaming: Streaming) -> Iterator[Pair[Streaming]]:
    """Counters on the primary and on its standby."""
    yield from fresh(streaming)
    streaming.replica.start()
    streaming.delay(0)


@pytest.fixture
def on_mariadb(by_gtid: ByGtid) -> Iterator[Pair[ByGtid]]:
    """Counters on the primary and on its replica."""
    yield from fresh(by_gtid)


@pytest.fixture(params=["on_postgresql", "on_mariadb"])
def pair(request: pytest.FixtureRequest) -> Pair[Replicated]:
    """Counters on a primary and its replica, of both kinds."""
    found: Pair[Replicated] = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def on_own_postgresql(own_streaming: Streaming) -> Iterator[Pair[Streaming]]:
    yield from fresh(own_streaming)


def fresh(servers: P) -> Iterator[Pair[P]]:
    url = servers.primary.create_database()
    prepare(servers, url)
    yield Pair(servers, url)
    if servers.primary.running:
        servers.primary.drop_database(url)


def prepare(servers: Replicated, url: URL) -> None:
    databases: Databases = declare(Pair(servers, url))
    databases.create_all()
    databases.dispose()
    servers.wait()
