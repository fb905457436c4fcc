"""A coordinator whose COMMIT arrives and is not answered, and a recovery that ends everything before it can ask."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL, Connection

import manybase.atomic
from manybase import Session
from manybase.recovery import resolve
from manybase.testing import fail_at
from tests.ledgers import ledgers, rows, write
from tests.servers.server import Server
from tests.sessions import SessionKind

REAL = manybase.atomic.commit


def test_recovery_that_finishes_first(
    session_kind: SessionKind,
    postgresql: Server,
    create_database: Callable[[Server], URL],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The coordinator still hears that it has committed, though nobody but itself needed to know any more."""
    urls = {name: create_database(postgresql) for name in ("first", "second")}
    recovering = ledgers(urls)

    def commit_unanswered(connection: Connection) -> None:
        REAL(connection)
        assert ["committed"] == [
            each.ended for each in resolve(recovering, min_age=0, asyncio=session_kind.asyncio).resolutions
        ]
        raise ConnectionResetError

    monkeypatch.setattr(manybase.atomic, "commit", commit_unanswered)

    def body(session: Session) -> dict[str, int]:
        write(session, "first", "second")
        with fail_at("begun", times=0):  # being watched, it sends its COMMIT alone
            session.commit()
        return rows(session)

    assert {"first": 1, "second": 1} == session_kind.run(ledgers(urls), body)
