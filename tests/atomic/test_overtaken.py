"""A coordinator that is overtaken: by a recovery that ends everything before it asks, or by its server's patience."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL, Connection

import manybase.atomic
from manybase import NotCommitted, Session
from manybase.recovery import Report, resolve
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


def test_process_that_stands_still(
    session_kind: SessionKind, postgresql: Server, create_database: Callable[[Server], URL]
) -> None:
    """Its server ends the transaction that holds the decision, and recovery need not wait for it any longer: then it
    says what it waits for. The process is told that nothing is committed."""
    urls = {name: create_database(postgresql) for name in ("first", "second")}
    recovering = ledgers(urls)
    reports: list[Report] = []

    def stand_still() -> None:
        while not reports or reports[-1].left:
            reports.append(resolve(recovering, min_age=0, asyncio=session_kind.asyncio))

    def body(session: Session) -> dict[str, int]:
        session.databases.commit_timeout = 1.5
        write(session, "first", "second")
        with fail_at("deciding", error=stand_still), pytest.raises(NotCommitted):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 0} == session_kind.run(ledgers(urls), body)
    assert ["it is being decided in 'first', by a process that has not ended yet"] == [
        each.why for each in reports[0].left
    ]
    assert ["rolled back"] == [each.ended for each in reports[-1].resolutions]
