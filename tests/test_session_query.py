"""The legacy Query, and the factories that programs make their sessions with."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import scoped_session, selectinload, sessionmaker

from manybase import AsyncSession, ConfigurationError, CrossDatabaseError, Databases, Session
from tests.sessions import Run, statements, where
from tests.shop import Entry, Event, Order, User, ann


def test_query(run: Run) -> None:
    """filter, order_by, options, count, first, all and iteration go where the entities live."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        events = session.query(Event).options(selectinload(Event.user)).order_by(Event.id)
        with statements(session.databases) as ran:
            found = [events.count(), events.first().kind, [event.user.name for event in events.all()]]
        return [*found, where(ran)[-2:]]

    assert [2, "view", ["ann", "ann"], ["analytics", "shop"]] == run(body)


def test_query_update_and_delete(run: Run) -> None:
    """They return the number of rows, and leave the other databases alone."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        updated = session.query(Event).filter(Event.id > 0).update({"kind": "x"}, synchronize_session="fetch")
        deleted = session.query(Order).filter_by(total=10).delete()
        session.commit()
        return [updated, deleted, session.query(Order).count(), session.query(User).count()]

    assert [2, 1, 1, 1] == run(body)


def test_query_of_columns_union_and_subquery(run: Run) -> None:
    """Query's own ways to combine."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        one, two = (session.query(Event.kind).filter(Event.id == number) for number in (1, 2))
        subquery = session.query(Order.user_id).filter(Order.total > 15).subquery()
        users = session.query(User.name).join(subquery, subquery.c.user_id == User.id)
        return [sorted(row.kind for row in one.union(two)), users.scalar()]

    assert [["buy", "view"], "ann"] == run(body)


def test_query_over_two_databases(run: Run) -> None:
    """It joins them, like a select(); to change or delete rows by it is refused before any SQL."""

    def body(session: Session) -> list[str]:
        session.add_all([ann(), User(name="bob")])
        session.flush()
        query = session.query(User).filter(User.events.any(Event.kind == "buy"))
        with statements(session.databases) as ran:
            for write in (partial(query.update, {"name": "x"}), query.delete):
                with pytest.raises(CrossDatabaseError):
                    write(synchronize_session="fetch")
        assert [] == ran
        return [user.name for user in query]

    assert ["ann"] == run(body)


def test_query_get(run: Run) -> None:
    """session.get's older brother."""

    def body(session: Session) -> Any:
        session.add(ann())
        session.flush()
        session.expunge_all()
        with pytest.warns(DeprecationWarning, match=r"Query\.get"):
            return session.query(Event).get(2).kind

    assert "buy" == run(body)


def test_sessionmaker(databases: Databases) -> None:
    """SQLAlchemy's factory makes our sessions, with all of SQLAlchemy's options."""
    databases.create_all()
    factory = sessionmaker(class_=Session, databases=databases, autoflush=False, expire_on_commit=False)
    with factory.begin() as session:
        session.add_all([User(name="ann"), Entry(what="hello")])

    with factory(autoflush=True) as session:
        assert (True, False) == (session.autoflush, session.expire_on_commit)
        assert ["ann", "hello"] == [session.scalars(select(each)).one() for each in (User.name, Entry.what)]
    databases.dispose()


def test_sessionmaker_that_is_configured_later(databases: Databases) -> None:
    """The databases may come after the factory."""
    databases.create_all()
    factory = sessionmaker(class_=Session)
    with pytest.raises(TypeError, match="databases"):
        factory()
    factory.configure(databases=databases)

    with factory() as session:
        assert 0 == session.scalar(select(func.count(User.id)))
    databases.dispose()


def test_sessionmaker_with_an_engine(databases: Databases) -> None:
    """It is refused as in the constructor."""
    with pytest.raises(ConfigurationError, match="takes the declared databases"):
        sessionmaker(databases.engine("shop"), class_=Session, databases=databases)()


def test_scoped_session(databases: Databases) -> None:
    """It proxies our session, with its route()."""
    databases.create_all()
    registry = scoped_session(sessionmaker(class_=Session, databases=databases))
    registry.add(ann())
    registry.commit()

    assert ["view", "buy"] == list(registry.scalars(select(Event.kind).order_by(Event.id)))
    assert "analytics" == registry().route(Event).database
    assert registry.get_bind(Event) is databases.engine("analytics")
    registry.remove()
    databases.dispose()


def test_async_sessionmaker(databases: Databases) -> None:
    """SQLAlchemy's factory makes our async sessions."""

    async def main() -> list[str]:
        await databases.acreate_all()
        factory = async_sessionmaker(class_=AsyncSession, databases=databases, expire_on_commit=False)
        async with factory.begin() as session:
            session.add_all([User(name="ann"), Entry(what="hello")])
        async with factory() as session:
            found = [(await session.scalars(select(each))).one() for each in (User.name, Entry.what)]
        await databases.adispose()
        return found

    assert ["ann", "hello"] == asyncio.run(main())


def test_async_scoped_session(databases: Databases) -> None:
    """One session per task."""

    async def main() -> list[Any]:
        await databases.acreate_all()
        factory = async_sessionmaker(class_=AsyncSession, databases=databases)
        registry = async_scoped_session(factory, scopefunc=asyncio.current_task)
        registry.add(ann())
        await registry.commit()
        found = (await registry.scalars(select(Event.kind).order_by(Event.id))).all()
        await registry.remove()
        await databases.adispose()
        return list(found)

    assert ["view", "buy"] == asyncio.run(main())


def test_class_of_the_users_own(databases: Databases) -> None:
    """A subclass keeps its own methods and our events."""

    class Mine(Session):
        def names(self) -> list[str]:
            return list(self.scalars(select(User.name)))

    databases.create_all()
    with Mine(databases) as session:
        session.add(ann())
        session.commit()
        assert ["ann"] == session.names()
    databases.dispose()


def test_plain_session_beside_ours(databases: Databases) -> None:
    """Our hooks are on our class only: a plain session of SQLAlchemy is left as it is."""
    databases.create_all()
    with SQLAlchemySession(databases.engine("shop")) as plain:
        plain.add(User(name="ann"))
        plain.commit()
        assert ["ann"] == list(plain.scalars(select(User.name)))
    databases.dispose()
