"""Large results: streaming, yield_per, partitions, while other databases are used."""

from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import selectinload

from manybase import Session
from tests.sessions import Run, statements, where
from tests.shop import Entry, Event, User


def filled(session: Session, rows: int = 25) -> None:
    session.execute(insert(User), [{"id": number, "name": f"n{number}"} for number in range(rows)])
    session.execute(insert(Event), [{"user_id": number, "kind": "view"} for number in range(rows)])
    session.commit()


def test_yield_per(run: Run) -> None:
    """Batches come from one database while the rows are written to another."""

    def body(session: Session) -> int:
        filled(session)
        for event in session.scalars(select(Event).execution_options(yield_per=10)):
            session.add(Entry(what=f"{event.kind} {event.id}"))
        session.commit()
        return len(session.scalars(select(Entry)).all())

    assert 25 == run(body)


def test_yield_per_with_selectinload(run: Run) -> None:
    """One SELECT of the other database per batch."""

    def body(session: Session) -> list[Any]:
        filled(session)
        statement = select(User).options(selectinload(User.events)).order_by(User.id)
        with statements(session.databases) as ran:
            result = session.scalars(statement, execution_options={"yield_per": 10, "database": "shop"})
            counts = [len(user.events) for user in result]
        return [sum(counts), where(ran)]

    assert [25, ["shop", "analytics", "analytics", "analytics"]] == run(body)


def test_partitions(run: Run) -> None:
    """SQLAlchemy's batches of rows."""

    def body(session: Session) -> list[int]:
        filled(session)
        result = session.execute(select(User.id, User.name).execution_options(stream_results=True))
        return [len(part) for part in result.partitions(10)]

    assert [10, 10, 5] == run(body)


def test_two_results_of_two_databases_at_once(run: Run) -> None:
    """They are read in turn, each on its own connection."""

    def body(session: Session) -> int:
        filled(session)
        users = session.scalars(select(User).order_by(User.id).execution_options(yield_per=5))
        events = session.scalars(select(Event).order_by(Event.id).execution_options(yield_per=7))
        return sum(user.id == event.user_id for user, event in zip(users, events, strict=True))

    assert 25 == run(body)


def test_result_that_is_not_read_to_its_end(run: Run) -> None:
    """Closing the session gives its connection back."""

    def body(session: Session) -> int:
        filled(session)
        result = session.scalars(select(User).execution_options(yield_per=5))
        return next(iter(result)).id

    assert 0 == run(body)


@pytest.mark.parametrize("options", [{"stream_results": True}, {"stream_results": True, "max_row_buffer": 5}])
def test_stream_results(run: Run, options: dict[str, Any]) -> None:
    """A server-side cursor where the driver has one."""

    def body(session: Session) -> list[int]:
        filled(session)
        result = session.execute(select(Event.id), execution_options=options)
        return [len(result.fetchmany(10)), len(result.all())]

    assert [10, 15] == run(body)
