"""SQLAlchemy's own twophase=True over two PostgreSQL databases."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from manybase import Session
from tests.ledgers import ledgers, rows, write, write_what_cannot_be_committed
from tests.servers.server import Server
from tests.sessions import Async, Run, Sync


@pytest.fixture(params=[(Sync(), "psycopg"), (Sync(), "psycopg2"), (Async(), "psycopg")], ids=lambda each: each[1])
def run(request: pytest.FixtureRequest, postgresql: Server, create_database: Callable[[Server], URL]) -> Run:
    kind, driver = request.param
    urls = {name: create_database(postgresql).set(drivername=f"postgresql+{driver}") for name in ("first", "second")}
    return partial(kind.run, ledgers(urls), twophase=True)


def test_commit(run: Run) -> None:
    """Both are prepared and committed; nothing stays prepared."""

    def body(session: Session) -> Any:
        write(session, "second", "first")
        session.commit()
        prepared = session.connection(bind_arguments={"database": "first"}).exec_driver_sql(
            "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
        )
        return [rows(session), prepared.scalar_one()]

    assert [{"first": 1, "second": 1}, 0] == run(body)


def test_commit_that_one_cannot_prepare(run: Run) -> None:
    """Nothing is committed anywhere, whichever comes first. The error is SQLAlchemy's, not always the cause."""

    def body(session: Session) -> dict[str, int]:
        for broken, whole in (("first", "second"), ("second", "first")):
            write(session, whole)
            write_what_cannot_be_committed(session, broken)
            with pytest.raises(SQLAlchemyError):
                session.commit()
            session.close()
        return rows(session)

    assert {"first": 0, "second": 0} == run(body)
