"""The log line of a select over several databases."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import select

from manybase import Federation, FederationLimit, Session
from tests.sessions import Run, databases, run, session_kind
from tests.shop import Event, User, ann

__all__ = ["databases", "run", "session_kind"]

SECRET = "s3cret"
JOINED = select(User.name, Event.kind).join(Event, Event.user_id == User.id).where(User.name != SECRET)


def records(run: Run, caplog: pytest.LogCaptureFixture, *statements: Any) -> list[logging.LogRecord]:
    """Of these statements, after a user and two events were committed."""

    def body(session: Session) -> None:
        session.add(ann())
        session.commit()
        with caplog.at_level(logging.DEBUG, "manybase.federation"):
            for each in statements:
                session.execute(each).all()

    run(body)
    return [each for each in caplog.records if each.name == "manybase.federation"]


def test_one_line_with_all_numbers(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It says what came, from where, with how many keys, how much and how fast, and which executor did the rest."""
    (record,) = records(run, caplog, JOINED)

    line = record.getMessage()
    assert logging.DEBUG == record.levelno
    assert line.startswith("Select over shop, analytics: 2 rows in ")
    assert " ms by python; fetched 3 rows, " in line
    assert "sent 1 key; " in line
    assert "_f0 of shop: 1 row, " in line
    assert "_f1 of analytics: 2 rows, " in line


def test_no_secret(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """No value and no address is in it."""
    (record,) = records(run, caplog, JOINED)

    assert not any(each in record.getMessage() for each in (SECRET, "ann", "sqlite", "/", "SELECT"))


def test_slow_select(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """What takes longer than it may is a warning."""
    (record,) = records(run, caplog, JOINED.execution_options(federation=Federation(slow=0)))

    assert logging.WARNING == record.levelno
    assert record.getMessage().startswith("Slow select over shop, analytics: 2 rows in ")


def test_select_of_one_database(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It leaves no line."""
    assert [] == records(run, caplog, select(User))


def test_select_that_fails(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It is told too, with the kind of its error."""
    with pytest.raises(FederationLimit):
        records(run, caplog, JOINED.execution_options(federation=Federation(max_rows=2)))

    lines = [each.getMessage() for each in caplog.records if each.name == "manybase.federation"]
    assert ["Select over shop, analytics: failed (FederationLimit) in"] == [
        line.rpartition(" in ")[0] + " in" for line in lines
    ]


def test_log_that_nobody_reads(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """At its own level, a fast select leaves nothing."""

    def body(session: Session) -> None:
        with caplog.at_level(logging.INFO, "manybase.federation"):
            session.execute(JOINED).all()

    run(body)

    assert [] == [each for each in caplog.records if each.name == "manybase.federation"]
