"""The ORM through a session over three databases: SQLAlchemy's own calls, each in the right database."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import aliased, defer, load_only

from manybase import Session
from tests.sessions import Run, another, committed, statements, where
from tests.shop import Admin, Click, Entry, Event, User, ann


def test_objects_that_point_into_another_database(run: Run) -> None:
    """The flush brings the key of the new user over to the events, in the right order."""

    def body(session: Session) -> list[Any]:
        session.add(Event(kind="view", user=User(name="ann")))
        session.commit()
        return [session.scalars(select(Event.user_id)).one(), session.scalars(select(User.id)).one()]

    assert [1, 1] == run(body)


def test_get(run: Run) -> None:
    """It looks in the class's own database, and in the identity map first."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        user = session.get(User, 1)
        with statements(session.databases) as ran:
            assert user is session.get(User, 1)
        assert [] == ran
        return [session.get_one(Event, 2).kind, session.get(Entry, 1)]

    assert ["buy", None] == run(body)


def test_merge(run: Run) -> None:
    """A copy of an object graph over two databases is written to both."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.merge(User(id=1, name="anna", events=[Event(id=1, kind="click"), Event(id=9, kind="new")]))
        session.commit()
        kinds = session.scalars(select(Event.kind).where(Event.user_id == 1).order_by(Event.id)).all()
        return [session.get_one(User, 1).name, *kinds]

    assert ["anna", "click", "new"] == run(body)


def test_refresh(run: Run) -> None:
    """An object is read anew from its own database, relationships into another one too."""

    def body(session: Session) -> list[Any]:
        session.add(user := ann())
        session.commit()
        with another(session) as other:
            other.get_one(User, 1).name = "anna"
            other.get_one(Event, 1).kind = "seen"
            other.commit()
        session.refresh(user, ["name", "events"])
        for event in user.events:
            session.refresh(event)
        return [user.name, *(event.kind for event in user.events)]

    assert ["anna", "seen", "buy"] == run(body)


@pytest.mark.parametrize("expire", [True, False])
def test_attributes_after_commit(run: Run, expire: bool) -> None:
    """expire_on_commit means what it means in SQLAlchemy: objects of both databases are read anew, or not."""

    def body(session: Session) -> list[str | None]:
        user = ann()
        session.add(user)
        session.commit()
        with statements(session.databases) as ran:
            assert ["ann", "view"] == [user.name, user.events[0].kind]
        return where(ran)

    expected = ["shop", "analytics"] if expire else []
    assert expected == run(body, expire_on_commit=expire)


def test_deleted_objects(run: Run) -> None:
    """A delete in two databases is two deletes and one commit."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.commit()
        user = session.get_one(User, 1)
        for each in [*user.orders, *user.events[0].clicks, *user.events, user]:
            session.delete(each)
        session.commit()
        return [committed(session, "shop", "users"), committed(session, "analytics", "events")]

    assert [0, 0] == run(body)


def test_deleted_parent_in_another_database(run: Run) -> None:
    """Without a cascade the children of the other database lose their key, as in one database."""

    def body(session: Session) -> list[Any]:
        session.add(User(id=1, name="ann", events=[Event(kind="view")]))
        session.commit()
        session.delete(session.get_one(User, 1))
        session.commit()
        return list(session.scalars(select(Event.user_id)))

    assert [None] == run(body)


def test_rollback(run: Run) -> None:
    """Nothing remains in any database, and the session works on."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        session.rollback()
        session.add(Entry(what="after"))
        session.commit()
        tables = {"shop": "users", "analytics": "events", "audit": "entries"}
        return [committed(session, database, table) for database, table in tables.items()]

    assert [0, 0, 1] == run(body)


def test_failed_flush(run: Run) -> None:
    """SQLAlchemy's own error; after rollback() the session works on."""

    def body(session: Session) -> int:
        session.add_all([Entry(what="first"), User(name="ann"), User(name="ann")])
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Entry(what="second"))
        session.commit()
        return committed(session, "audit", "entries")

    assert 1 == run(body)


def test_autoflush(run: Run) -> None:
    """A query sees what was added before it, in whichever database, and no_autoflush puts that off."""

    def body(session: Session) -> list[Any]:
        session.add_all([User(name="ann"), Event(kind="view")])
        with session.no_autoflush:
            before = session.scalars(select(Event.kind)).all()
        return [before, session.scalars(select(Event.kind)).all(), session.scalars(select(User.name)).all()]

    assert [[], ["view"], ["ann"]] == run(body)


def test_inheritance(run: Run) -> None:
    """A joined hierarchy is flushed, loaded polymorphically and joined across databases as one class."""

    def body(session: Session) -> list[Any]:
        session.add_all([Admin(name="root", level=9, events=[Event(kind="login")]), User(name="ann")])
        session.commit()
        users = session.scalars(select(User).order_by(User.name)).all()
        session.expunge_all()
        admin = session.scalars(select(Admin).join(Admin.events).where(Event.kind == "login")).one()
        return [*(type(user) for user in users), type(admin), admin.level, admin.events[0].kind]

    assert [User, Admin, Admin, 9, "login"] == run(body)


def test_aliased_entities(run: Run) -> None:
    """A class twice in one statement is one database."""

    def body(session: Session) -> list[tuple[str, str]]:
        session.add_all([User(name="ann"), User(name="bob")])
        one, two = aliased(User), aliased(User)
        return [tuple(row) for row in session.execute(select(one.name, two.name).join(two, one.id < two.id))]

    assert [("ann", "bob")] == run(body)


def test_deferred_columns(run: Run) -> None:
    """They are loaded later, from the database of their class."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        event = session.scalars(select(Event).options(defer(Event.kind)).where(Event.id == 1)).one()
        click = session.scalars(select(Click).options(load_only(Click.id))).one()
        with statements(session.databases) as ran:
            values = [event.kind, click.event_id]
        return [*values, *where(ran)]

    assert ["view", 1, "analytics", "analytics"] == run(body)


def test_object_of_a_class_that_is_read_only_half(run: Run) -> None:
    """raiseload and SQLAlchemy's other loader options keep their own errors."""

    def body(session: Session) -> None:
        session.add(ann())
        session.commit()
        event = session.scalars(select(Event).options(defer(Event.kind, raiseload=True)).limit(1)).one()
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = event.kind

    run(body)


def test_count_over_a_subquery(run: Run) -> None:
    """Counting a statement is a statement over the same tables."""

    def body(session: Session) -> int:
        session.add(ann())
        return session.scalar(select(func.count()).select_from(select(Event).subquery())) or 0

    assert 2 == run(body)
