"""A thousand requests, a hundred at a time, over two PostgreSQL databases and one MariaDB."""

import asyncio
import time
from collections.abc import Callable

import pytest
from sqlalchemy import URL

from tests.fastapi.load import application, send
from tests.fastapi.serving import serve
from tests.fastapi.test_load import assert_exact
from tests.ledgers import NAMES, ledgers
from tests.servers.server import Server

SMALL_POOLS = {"pool_size": 5, "max_overflow": 0}


# Older versions of SQLAlchemy leave a connection that was in use by a cancelled task to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
def test_a_thousand_requests(
    postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], driver: str
) -> None:
    """What was acknowledged is in every database, what was refused in none, and everything is given back in time."""
    urls = [create_database(server) for server in (postgresql, mariadb, postgresql)]
    urls = [url.set(drivername=driver) if url.drivername == "postgresql" else url for url in urls]
    databases = ledgers(dict(zip(NAMES, urls, strict=True)), pool_timeout=30, engine_options=SMALL_POOLS)
    databases.create_all()
    with serve(application(databases)) as serving:
        begun = time.monotonic()
        outcome = asyncio.run(send(serving.url, 1000, at_once=100))
        seconds = time.monotonic() - begun
        serving.assert_idle(databases)
    databases.dispose()

    assert_exact(databases, outcome)
    assert 850 <= len(outcome.written)
    assert {200, 500, 409, 504, "disconnected"} >= set(outcome.statuses), outcome.statuses
    assert seconds < 180  # nothing waited for ever; a busy machine takes more than one minute
