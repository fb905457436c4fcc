"""Fixtures of the tests of migrations."""

import pytest

from tests.migrations.lockers import Place, place_of


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """A fresh database, reached through the driver that the test names."""
    return place_of(request)
