"""Fixtures of the tests of selects over several databases."""

from collections.abc import Iterator

import pytest

from tests.federation.judging import Judge
from tests.federation.worlds import Places
from tests.servers.fixtures import server_of
from tests.servers.startup import Startup


@pytest.fixture(scope="session")
def places(server_startup: Startup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """The databases of every world, filled once."""
    places = Places(lambda name: server_of(server_startup, name), tmp_path_factory.mktemp("federation"))
    yield places
    places.close()


@pytest.fixture(scope="session")
def judge(places: Places) -> Judge:
    """Knows the right answers, and asks for each once."""
    return Judge(places)
