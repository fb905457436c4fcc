"""Fixtures of the tests that need servers."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL

from manybase import Databases
from tests.ledgers import NAMES, ledgers
from tests.servers.mixed import Drivers, Urls

MakeLedgers = Callable[..., Databases]


@pytest.fixture
def make_ledgers(postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> MakeLedgers:
    """Ledgers called first, second and third on these backends, in this order."""
    given = {"postgresql": postgresql_url, "mariadb": mariadb_url, "sqlite": sqlite_url}

    def make(drivers: Drivers, *backends: str) -> Databases:
        urls = Urls(drivers, given)
        return ledgers({name: urls[backend] for name, backend in zip(NAMES, backends, strict=False)})

    return make
