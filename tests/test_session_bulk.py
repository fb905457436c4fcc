"""Many rows at once through the ORM: bulk calls, RETURNING, UPDATE and DELETE by criteria."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from manybase import Session
from tests.sessions import Run
from tests.shop import Event, Order, User, ann


def test_bulk_calls_of_the_legacy_api(run: Run) -> None:
    """bulk_save_objects, bulk_insert_mappings and bulk_update_mappings write where the class lives."""

    def body(session: Session) -> list[Any]:
        session.bulk_save_objects([User(id=1, name="ann"), Event(id=1, kind="view")])
        session.bulk_insert_mappings(Event, [{"id": 2, "kind": "a"}, {"id": 3, "kind": "b"}])
        session.bulk_update_mappings(Event, [{"id": 3, "kind": "c"}])
        session.commit()
        return [*session.scalars(select(User.name)), *session.scalars(select(Event.kind).order_by(Event.id))]

    assert ["ann", "view", "a", "c"] == run(body)


def test_bulk_insert_returning(run: Run) -> None:
    """insert(Class).returning(Class) with many rows gives the objects."""

    def body(session: Session) -> list[Any]:
        rows = [{"kind": "view"}, {"kind": "buy"}]
        events = session.scalars(insert(Event).returning(Event, sort_by_parameter_order=True), rows).all()
        session.commit()
        return [[event.id, event.kind] for event in events]

    assert [[1, "view"], [2, "buy"]] == run(body)


def test_bulk_update_by_primary_key(run: Run) -> None:
    """update(Class) with a list of rows is SQLAlchemy's bulk update."""

    def body(session: Session) -> list[str]:
        session.add(ann())
        session.commit()
        session.execute(update(Event), [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}])
        session.commit()
        return list(session.scalars(select(Event.kind).order_by(Event.id)))

    assert ["a", "b"] == run(body)


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_update_and_delete_by_criteria(run: Run, synchronize: str | bool) -> None:
    """ORM-enabled UPDATE and DELETE run where the class lives, with every way to synchronise the session."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        options = {"synchronize_session": synchronize}
        session.execute(update(Event).where(Event.kind == "buy").values(kind="bought"), execution_options=options)
        session.execute(delete(Order).where(Order.total > 15), execution_options=options)
        session.commit()
        return [*session.scalars(select(Event.kind).order_by(Event.id)), *session.scalars(select(Order.total))]

    assert ["view", "bought", 10] == run(body)


def test_update_and_delete_returning(run: Run) -> None:
    """RETURNING gives objects and columns."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        updated = session.scalars(update(Event).values(kind="x").where(Event.id == 1).returning(Event)).one()
        deleted = session.scalars(delete(Order).where(Order.id == 2).returning(Order.total)).one()
        return [updated.kind, deleted]

    assert ["x", 20] == run(body)
