"""Hundreds of requests at once over three SQLite files."""

import asyncio
import gc
import time
from pathlib import Path

import pytest

from manybase import Databases
from tests.fastapi.load import Outcome, application, send
from tests.fastapi.rows import rows
from tests.fastapi.serving import serve
from tests.ledgers import NAMES, ledgers

SMALL_POOLS = {"pool_size": 5, "max_overflow": 0, "connect_args": {"timeout": 30}}


# Older versions of SQLAlchemy leave a connection of aiosqlite that was in use by a cancelled task to the collector.
@pytest.mark.filterwarnings("ignore:.*was deleted before being closed:ResourceWarning")
def test_requests_that_fail_and_are_cancelled(tmp_path: Path) -> None:
    """What was acknowledged is in every database, what was refused in none, and everything is given back."""
    databases = ledgers(
        {name: f"sqlite:///{tmp_path / name}.db" for name in NAMES}, pool_timeout=30, engine_options=SMALL_POOLS
    )
    databases.create_all()
    with serve(application(databases, one_writer=True)) as serving:
        begun = time.monotonic()
        outcome = asyncio.run(send(serving.url, 300, at_once=100))
        seconds = time.monotonic() - begun
        serving.assert_idle(databases)
    databases.dispose()
    gc.collect()

    assert_exact(databases, outcome)
    assert 300 * 0.8 <= len(outcome.written)
    assert {200, 500, 409, 504, "disconnected"} >= set(outcome.statuses), outcome.statuses
    assert seconds < 60


def assert_exact(databases: Databases, outcome: Outcome) -> None:
    found = {name: set(rows(databases, name, "entries")) for name in databases.names}
    everywhere = found[databases.names[0]]

    assert [everywhere] * len(found) == list(found.values())
    assert set() == outcome.written - everywhere
    assert set() == outcome.refused & everywhere
    assert everywhere - outcome.written <= outcome.unknown
