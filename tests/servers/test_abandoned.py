"""A connection that is given up while a thread still waits on it: nobody closes it under that thread's feet."""

import time
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from manybase.concurrency import Late, Uninterrupted
from manybase.wire import abandon, run

pytestmark = [pytest.mark.server, pytest.mark.postgresql]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_job_that_is_late(postgresql_url: URL, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job ends soon, for its socket is shut down; the connection is closed after that, by the same thread."""
    engine = create_engine(postgresql_url.set(drivername=f"postgresql+{driver}"), poolclass=NullPool)
    connection = engine.connect()
    driver_connection: Any = connection.connection.driver_connection
    closed: list[bool] = []
    close = engine.dialect.do_close

    def note(dbapi_connection: Any) -> None:
        closed.append(late.job.done())
        close(dbapi_connection)

    monkeypatch.setattr(engine.dialect, "do_close", note)
    started = time.monotonic()
    (late,) = Uninterrupted(asyncio=False).run([lambda: run(connection, "SELECT pg_sleep(60)")], 0.2)
    assert isinstance(late, Late)
    abandon(connection, late)

    assert late.job.exception(timeout=20) is not None
    while not closed:
        time.sleep(0.01)
    assert ([True], True) == (closed, bool(driver_connection.closed))
    assert time.monotonic() - started < 30
    connection.close()
    engine.dispose()
