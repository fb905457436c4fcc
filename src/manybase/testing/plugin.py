"""The pytest plugin: ``@pytest.mark.rollback`` undoes what a test writes to the fixture ``databases``.

It is loaded in every run of pytest: what only marked tests need is imported when one comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from manybase.engines import Databases

MARKER = "rollback: what the test writes is undone, in all databases of the fixture `databases` (manybase)"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(autouse=True)  # before the other fixtures of the test, so that what they write is undone too
def _manybase_rollback(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sync, for async tests too: whoever runs their event loops needs no support for it."""
    if request.node.get_closest_marker("rollback") is None:
        yield
        return
    from manybase.testing.rollback import rollback

    with rollback(databases_of(request)):
        yield


def databases_of(request: pytest.FixtureRequest) -> Databases:
    from manybase.engines import Databases

    try:
        databases = request.getfixturevalue("databases")
    except pytest.FixtureLookupError as error:
        if error.argname != "databases":
            raise
        pytest.fail("@pytest.mark.rollback needs a fixture `databases` that returns your Databases.", pytrace=False)
    if not isinstance(databases, Databases):
        pytest.fail(
            f"@pytest.mark.rollback: the fixture `databases` must return Databases, not {type(databases).__name__}.",
            pytrace=False,
        )
    return databases
