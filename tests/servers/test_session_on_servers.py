"""One session over PostgreSQL, MariaDB and SQLite, through every driver."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, func, insert, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from manybase import CrossDatabaseError, Session
from tests.servers.mixed import DRIVERS, Drivers, Urls
from tests.sessions import Run, another, committed, statements, where
from tests.shop import Entry, Event, Order, User, ann, shop_databases


@pytest.fixture(params=DRIVERS, ids=str)
def run(request: pytest.FixtureRequest, postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> Run:
    """Runs a body with a session over a shop on PostgreSQL, analytics on MariaDB and an audit log on SQLite."""
    drivers: Drivers = request.param
    urls = Urls(drivers, {"postgresql": postgresql_url, "mariadb": mariadb_url, "sqlite": sqlite_url})
    declared = shop_databases({"shop": urls["postgresql"], "analytics": urls["mariadb"], "audit": urls["sqlite"]})
    return partial(drivers.kind.run, declared)


def counts(session: Session) -> list[int]:
    tables = {"shop": "users", "analytics": "events", "audit": "entries"}
    return [committed(session, database, table) for database, table in tables.items()]


def test_objects_of_three_servers(run: Run) -> None:
    """They are written, loaded across, changed and deleted in one session."""

    def body(session: Session) -> list[Any]:
        session.add_all([ann(), Entry(what="hello")])
        session.commit()
        user = session.scalars(select(User).options(selectinload(User.events), selectinload(User.orders))).one()
        found = [[event.kind for event in user.events], [order.total for order in user.orders]]
        user.events[1].kind = "sold"
        session.delete(user.orders[0])
        session.commit()
        kinds = session.scalars(select(Event.kind).order_by(Event.id)).all()
        return [*found, kinds, session.scalar(select(func.count(Order.id))), counts(session)]

    assert [["view", "buy"], [10, 20], ["view", "sold"], 1, [1, 2, 1]] == run(body)


def test_statement_over_two_servers(run: Run) -> None:
    """A SELECT joins their rows; no server hears of a write."""

    def body(session: Session) -> list[Any]:
        session.add_all([ann(), User(id=2, name="bob")])
        session.flush()
        change = update(User).where(User.id.in_(select(Event.user_id))).values(name="x")
        with statements(session.databases) as ran, pytest.raises(CrossDatabaseError):
            session.execute(change)
        assert [] == ran
        joined = select(User.name, Event.kind).outerjoin(User.events).order_by(User.name, Event.id)
        return [tuple(row) for row in session.execute(joined)]

    assert [("ann", "view"), ("ann", "buy"), ("bob", None)] == run(body)


def test_rollback(run: Run) -> None:
    """Nothing remains on any server."""

    def body(session: Session) -> list[int]:
        session.add_all([ann(), Entry(what="hello")])
        session.flush()
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_flush_that_fails_on_one_server(run: Run) -> None:
    """Its error is SQLAlchemy's, and the others are rolled back with it."""

    def body(session: Session) -> list[int]:
        session.add_all([Entry(what="hello"), Event(kind="view"), User(name="ann")])
        session.flush()
        session.add(User(name="ann"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_savepoints(run: Run) -> None:
    """A savepoint over three servers, two of them first used inside it."""

    def body(session: Session) -> list[int]:
        session.add(User(name="before"))
        session.flush()
        with session.begin_nested():
            session.add_all([Event(kind="kept"), Entry(what="kept")])
        undone = session.begin_nested()
        session.add_all([User(name="undone"), Event(kind="undone"), Entry(what="undone")])
        session.flush()
        undone.rollback()
        session.commit()
        return counts(session)

    assert [1, 1, 1] == run(body)


def test_savepoint_that_comes_first(run: Run) -> None:
    """Released and then rolled back with the transaction, it leaves nothing."""

    def body(session: Session) -> list[int]:
        with session.begin_nested():
            session.add_all([User(name="ann"), Event(kind="view"), Entry(what="hello")])
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_returning(run: Run) -> None:
    """Bulk INSERT and DELETE .. RETURNING on both servers; UPDATE .. RETURNING where there is one."""

    def body(session: Session) -> list[Any]:
        names = [{"id": number, "name": f"n{number}"} for number in (1, 2)]
        users = session.scalars(insert(User).returning(User), names).all()
        events = session.scalars(insert(Event).returning(Event), [{"kind": "a"}, {"kind": "b"}]).all()
        updated = session.scalars(update(User).where(User.id == 1).values(name="x").returning(User.name)).all()
        session.commit()
        return [sorted(user.id for user in users), sorted(event.kind for event in events), updated]

    assert [[1, 2], ["a", "b"], ["x"]] == run(body)


def test_upserts(run: Run) -> None:
    """Each server's own construct."""

    def body(session: Session) -> list[Any]:
        for text_ in ("one", "two"):
            user = postgresql.insert(User).values(id=1, name=text_)
            session.execute(user.on_conflict_do_update(index_elements=["id"], set_={"name": user.excluded.name}))
            event = mysql.insert(Event).values(id=1, kind=text_)
            session.execute(event.on_duplicate_key_update(kind=event.inserted.kind))
            entry = sqlite.insert(Entry).values(id=1, what=text_)
            session.execute(entry.on_conflict_do_update(index_elements=["id"], set_={"what": entry.excluded.what}))
        session.commit()
        return [session.scalars(select(each)).one() for each in (User.name, Event.kind, Entry.what)]

    assert ["two", "two", "two"] == run(body)


@pytest.mark.parametrize("options", [{"yield_per": 100}, {"stream_results": True}])
def test_streaming_from_two_servers_at_once(run: Run, options: dict[str, Any]) -> None:
    """Server-side cursors on both are read in turn, while a third database is written."""

    def body(session: Session) -> list[int]:
        numbers = range(250)
        session.execute(insert(User), [{"id": number, "name": f"n{number}"} for number in numbers])
        session.execute(insert(Event), [{"id": number + 1, "kind": "view"} for number in numbers])
        session.commit()
        users = session.execute(select(User.id).order_by(User.id).execution_options(**options))
        events = session.execute(select(Event.id).order_by(Event.id).execution_options(**options))
        pairs = 0
        for user, event in zip(users, events, strict=True):
            pairs += user.id + 1 == event.id
            if pairs % 100 == 0:
                session.add(Entry(what="still here"))
        session.commit()
        return [pairs, committed(session, "audit", "entries")]

    assert [250, 2] == run(body)


def test_text_and_connection(run: Run) -> None:
    """Each server answers as itself, in the transaction of the session."""

    def body(session: Session) -> list[Any]:
        session.add_all([User(name="ann"), Event(kind="view")])
        session.flush()
        found = []
        for name, table in (("shop", "users"), ("analytics", "events")):
            named: dict[str, Any] = {"bind_arguments": {"database": name}}
            found += [session.scalar(text(f"SELECT count(*) FROM {table}"), **named)]
            found += [session.connection(**named).dialect.name]
        return found

    assert [1, "postgresql", 1, "mysql"] == [{"mariadb": "mysql"}.get(each, each) for each in run(body)]


def test_pinned_session(run: Run) -> None:
    """One server only, while another session uses all of them."""

    def body(session: Session) -> list[Any]:
        with another(session) as everywhere, statements(session.databases) as ran:
            everywhere.add(ann())
            everywhere.commit()
            names = session.scalars(select(User.name)).all()
        return [names, sorted(set(map(str, where(ran))))]

    assert [["ann"], ["analytics", "shop"]] == run(body, database="shop")
