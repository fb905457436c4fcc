"""Rows of large results, which are made while entities are made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event, select

from manybase import Session
from manybase.federation import execution, reading
from manybase.federation.lazy import LazyRows
from tests.sessions import Run, databases, run, session_kind
from tests.shop import Event, User

__all__ = ["databases", "run", "session_kind"]

PAIRS = select(User, Event).join(Event, Event.user_id == User.id)
USERS = 40
MAKES_ROWS_FIRST = sqlalchemy.__version__.startswith("2.0")  # SQLAlchemy, before it makes entities of them


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read at a time, so that few rows are many."""
    monkeypatch.setattr(execution, "CHUNK", 20)
    monkeypatch.setattr(reading, "SLICE", 8)


def saved(session: Session) -> None:
    for number in range(1, USERS + 1):
        kinds = ["seen"] * (number % 3 + 1)
        session.add(User(name=f"user {number}", events=[Event(kind=kind) for kind in kinds]))
    session.commit()
    session.expunge_all()


def names(rows: Any) -> list[tuple[str, int]]:
    return sorted((user.name, event.id) for user, event in rows)


@contextmanager
def listening(call: Callable[[], object]) -> Iterator[None]:
    """Calls it whenever a user is loaded."""

    def listener(*_: object) -> None:
        call()

    event.listen(User, "load", listener)
    try:
        yield
    finally:
        event.remove(User, "load", listener)


def lazily(*rows: int) -> LazyRows:
    first, *others = ((row,) for row in rows)
    return LazyRows(first, iter(others))


def test_once_in_their_order() -> None:
    """As SQLAlchemy reads them: the first one is looked at before."""
    rows = lazily(1, 2, 3)

    assert rows
    assert (1,) == rows[0]
    assert [(1,), (2,), (3,)] == list(rows)


def test_twice() -> None:
    """That would find nothing, so that it is an error."""
    rows = lazily(1, 2)
    list(rows)

    with pytest.raises(RuntimeError, match="have been read already"):
        list(rows)
    with pytest.raises(TypeError, match="nobody knows how many"):
        len(rows)


def test_as_a_list() -> None:
    """Once their number is asked for, they are all there."""
    rows = lazily(1, 2, 3)

    assert 3 == len(rows)
    assert [(3,), (2,)] == [rows[-1], rows[1]]
    assert [(2,), (3,)] == rows[1:]
    assert list(rows) == list(rows) == [(1,), (2,), (3,)]


@pytest.mark.parametrize("turned", [False, True], ids=["many by few", "few by many"])
def test_while_entities_are_made(run: Run, turned: bool) -> None:
    """The first entity is there before the last row; nothing is missing in the end, and nothing comes twice."""
    statement = PAIRS if not turned else select(User, Event).select_from(Event).join(User, Event.user_id == User.id)

    def body(session: Session) -> tuple[list[tuple[str, int]], int, int]:
        saved(session)
        report: list[Any] = []
        made: list[int] = []
        with listening(lambda: made.append(report[0].measured.rows)):
            found = session.execute(statement, execution_options={"federation_report": report}).all()
        return names(found), made[0], report[0].measured.rows

    found, at_first, in_the_end = run(body)
    expected = sorted((f"user {number}",) for number in range(1, USERS + 1) for _ in range(number % 3 + 1))
    assert expected == [(name,) for name, _ in found]
    assert len(found) == len(set(found)) == in_the_end
    assert at_first == in_the_end if MAKES_ROWS_FIRST else at_first < in_the_end / 2


def test_columns_are_not(run: Run) -> None:
    """Rows of columns are all made before they are handed out, as any driver does it."""

    def body(session: Session) -> bool:
        saved(session)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execution, "LazyRows", None)
            return len(session.execute(PAIRS.with_only_columns(User.name, Event.id)).all()) > USERS

    assert run(body)


@pytest.mark.parametrize("statement", [PAIRS, PAIRS.where(User.id + Event.id < 0)], ids=["many", "none"])
def test_log(run: Run, statement: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One line, which counts all of them."""

    def body(session: Session) -> int:
        saved(session)
        with caplog.at_level(logging.DEBUG, "manybase.federation"):
            return len(session.execute(statement).all())

    count = run(body)
    (record,) = (each for each in caplog.records if each.name == "manybase.federation")
    assert record.getMessage().startswith(f"Select over shop, analytics: {count} rows in ")


def test_entity_that_cannot_be_made(run: Run) -> None:
    """What is left of the rows is given up, and the session goes on."""

    def fail() -> None:
        raise ValueError("no")

    def body(session: Session) -> tuple[list[int], int]:
        saved(session)
        report: list[Any] = []
        with listening(fail), pytest.raises(ValueError, match="no"):
            session.execute(PAIRS, execution_options={"federation_report": report}).all()
        left = [len(each.rows) for each in report[0].staging.history if not each.is_taken]
        return left, len(session.execute(PAIRS).all())

    left, count = run(body)
    assert not any(left)
    assert count > USERS
