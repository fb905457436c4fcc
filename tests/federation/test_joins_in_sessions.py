"""A select over two databases as a part of a session's work: its transaction, its objects, its connections."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, inspect, select, text
from sqlalchemy.orm import SessionTransaction, contains_eager, joinedload

from manybase import AsyncSession, CrossDatabaseError, Databases, Session
from tests.sessions import Run, SessionKind, another, assert_idle, committed, run_async, statements, where
from tests.shop import Event, User, ann, in_files

JOINED = select(User.name, Event.kind).join(Event, Event.user_id == User.id).order_by(Event.id)
BOTH = select(User, Event).join(User.events).order_by(Event.id)


def saved(session: Session) -> None:
    session.add(ann())
    session.commit()


def rows(session: Session, statement: Any = JOINED, **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(statement, **options)]


def test_uncommitted_rows(run: Run) -> None:
    """A select sees what its own session has flushed to either database; another session's does not."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.add_all([User(id=2, name="bob"), Event(id=3, user_id=2, kind="sold")])
        session.flush()
        own = rows(session)
        session.rollback()
        return [own, rows(session)]

    before = [("ann", "view"), ("ann", "buy")]
    assert [[*before, ("bob", "sold")], before] == run(body)


def test_autoflush(run: Run) -> None:
    """What is new or changed is flushed to both databases before the select, and no_autoflush puts that off."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.get_one(User, 1).name = "eve"
        session.add(Event(id=3, user_id=1, kind="sold"))
        with session.no_autoflush:
            before = rows(session)
        return [before, rows(session)]

    assert [
        [("ann", "view"), ("ann", "buy")],
        [("eve", "view"), ("eve", "buy"), ("eve", "sold")],
    ] == run(body)


def test_identity(run: Run) -> None:
    """An entity is the object that the session has already, as it stands there, in every row."""

    def body(session: Session) -> None:
        saved(session)
        user, first = session.get_one(User, 1), session.get_one(Event, 1)
        with session.no_autoflush:
            user.name = "not flushed"
            found = session.execute(BOTH).all()

        assert [(user, first), (user, session.get_one(Event, 2))] == [tuple(row) for row in found]
        assert "not flushed" == user.name
        session.refresh(user)
        assert found[0][0] is user

    run(body)


def test_populate_existing(run: Run) -> None:
    """It overwrites them from both databases."""

    def body(session: Session) -> list[str]:
        saved(session)
        user, view = session.get_one(User, 1), session.get_one(Event, 1)
        with session.no_autoflush:
            user.name, view.kind = "changed", "changed"
            session.execute(BOTH, execution_options={"populate_existing": True}).all()
        return [user.name, view.kind]

    assert ["ann", "view"] == run(body)


def test_change_of_joined_entities(run: Run) -> None:
    """They are flushed home, one database each, and committed together."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.expunge_all()
        user, view = session.execute(BOTH.limit(1)).one()
        user.name, view.kind = "eve", "seen"
        with statements(session.databases) as ran:
            session.commit()
        with another(session) as reader:
            return [rows(reader), sorted(map(str, where(ran)))]

    assert [[("eve", "seen"), ("eve", "buy")], ["analytics", "shop"]] == run(body)


def test_deletion_of_joined_entities(run: Run) -> None:
    """delete() of them as well."""

    def body(session: Session) -> list[int]:
        saved(session)
        for each in session.scalars(select(Event).join(Event.user).where(User.name == "ann", Event.kind == "buy")):
            session.delete(each)
        session.commit()
        return [committed(session, "shop", "users"), committed(session, "analytics", "events")]

    assert [1, 1] == run(body)


def test_commit_that_fails_after_a_join(run: Run) -> None:
    """It stays atomic: what the select was needed for is in both databases or in neither."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.execute(BOTH).all()
        session.add_all([User(id=2, name="bob"), Event(id=3, kind="sold"), Event(id=1, kind="twice")])
        with pytest.raises(Exception, match="UNIQUE constraint failed"):
            session.commit()
        session.rollback()
        return [committed(session, "shop", "users"), committed(session, "analytics", "events"), rows(session)]

    assert [1, 2, [("ann", "view"), ("ann", "buy")]] == run(body)


def test_session_that_only_joins(run: Run) -> None:
    """Each part of it is proven to read only: both databases are in the transaction, and none as a writer."""

    def body(session: Session) -> list[Any]:
        saved(session)
        rows(session)
        return [len(session._enlisted.connections) > 0, session._enlisted._writers]

    assert [True, set()] == run(body)


def test_savepoint_around_a_join(run: Run) -> None:
    """Its rollback takes back what the join had seen inside, in both databases, and nothing before."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.add(Event(id=3, user_id=1, kind="before"))
        with session.begin_nested() as inner:
            session.add_all([User(id=2, name="bob"), Event(id=4, user_id=2, kind="inside")])
            inside = rows(session)[2:]
            inner.rollback()
        after = rows(session)[2:]
        session.commit()
        return [inside, after, rows(session)[2:]]

    before = [("ann", "before")]
    assert [[*before, ("bob", "inside")], before, before] == run(body)


def test_savepoint_after_a_join(run: Run) -> None:
    """A join as the first thing a transaction does leaves both databases in it, and a savepoint covers both."""

    def body(session: Session) -> list[Any]:
        saved(session)
        rows(session)
        with session.begin_nested():
            session.add_all([User(id=2, name="bob"), Event(id=3, user_id=2, kind="sold")])
        session.commit()
        return rows(session)[2:]

    assert [("bob", "sold")] == run(body)


def test_join_inside_a_savepoint_first(run: Run) -> None:
    """Also where the transaction began with the savepoint."""

    def body(session: Session) -> list[Any]:
        saved(session)
        with session.begin_nested():
            first = rows(session)
            session.add(Event(id=3, user_id=1, kind="sold"))
        session.commit()
        return [len(first), committed(session, "analytics", "events")]

    assert [2, 3] == run(body)


def test_rollback(run: Run) -> None:
    """It ends the transaction in both, and expires what was joined."""

    def body(session: Session) -> list[Any]:
        saved(session)
        user, _ = session.execute(BOTH).first() or (None, None)
        session.rollback()
        assert_idle(session.databases, asyncio=session._asyncio)
        return [inspect(user).expired, user and user.name]

    assert [True, "ann"] == run(body)


@pytest.mark.parametrize("expire", [True, False])
def test_expire_on_commit(session_kind: SessionKind, databases: Databases, expire: bool) -> None:
    """Joined entities are expired, or not, as others are; an expired one is loaded from its own database."""

    def body(session: Session) -> list[str | None]:
        saved(session)
        found = session.execute(BOTH).all()
        session.commit()
        with statements(databases) as ran:
            assert [("ann", "view"), ("ann", "buy")] == [(user.name, event.kind) for user, event in found]
        return where(ran)

    expected = ["shop", "analytics", "analytics"] if expire else []
    assert expected == session_kind.run(databases, body, expire_on_commit=expire)


def test_two_results_at_once(run: Run) -> None:
    """They are read in turns, and each gives its own rows; nothing is shared but the connections."""

    def body(session: Session) -> list[Any]:
        saved(session)
        option: Any = {"yield_per": 1}
        names = session.execute(JOINED, execution_options=option)
        kinds = session.execute(select(Event.kind, User.name).join(User.events).order_by(Event.id.desc()))
        pairs = [(tuple(one), tuple(two)) for one, two in zip(names, kinds, strict=True)]
        return [pairs, rows(session)]

    first, second = ("ann", "view"), ("ann", "buy")
    assert [[(first, second[::-1]), (second, first[::-1])], [first, second]] == run(body)


def test_writing_while_reading(run: Run) -> None:
    """A loop over a select may change what it reads, and flush."""

    def body(session: Session) -> list[Any]:
        saved(session)
        option: Any = {"yield_per": 1}
        for user, each in session.execute(BOTH, execution_options=option):
            each.kind = f"{user.name}'s {each.kind}"
            session.flush()
        session.commit()
        return list(session.scalars(select(Event.kind).order_by(Event.id)))

    assert ["ann's view", "ann's buy"] == run(body)


def test_pinned_session(session_kind: SessionKind, databases: Databases) -> None:
    """It refuses, before any SQL, and works on; naming its database does not help."""

    def body(session: Session) -> int | None:
        named: Any = {"bind_arguments": {"database": "shop"}}
        with statements(databases) as ran:
            for options in ({}, named):
                with pytest.raises(CrossDatabaseError, match="'shop' alone"):
                    session.execute(JOINED, **options)
        assert [] == ran
        return session.scalar(select(func.count(User.id)))

    assert 0 == session_kind.run(databases, body, database="shop")


def test_bind_arguments_of_a_select(run: Run) -> None:
    """``mapper`` and ``clause`` steer no select over two databases elsewhere."""

    def body(session: Session) -> list[Any]:
        saved(session)
        arguments: list[Any] = [{"mapper": inspect(Event)}, {"mapper": User}]
        return [rows(session, bind_arguments=each) for each in arguments]

    assert [[("ann", "view"), ("ann", "buy")]] * 2 == run(body)


HOOKED: dict[str, Callable[[Connection], Any]] = {
    "listens": lambda connection: None,
    "driver's SQL": lambda connection: connection.exec_driver_sql("SELECT 1"),
    "text()": lambda connection: connection.execute(text("SELECT 1")),
    "a function": lambda connection: connection.execute(select(func.set_config("app.user", "ann", True))),
}


@pytest.mark.parametrize("hook", HOOKED)
def test_after_begin_of_the_users_own(session_kind: SessionKind, databases: Databases, hook: str) -> None:
    """A hook hears of the connection of each database, and may set something up there.

    It hears of the one that the select itself runs on, too: there is nothing to set up, and no error."""

    def body(session: Session) -> list[Any]:
        saved(session)
        begun: list[str | None] = []

        @event.listens_for(session, "after_begin")
        def begin(_: Session, __: SessionTransaction, connection: Connection) -> None:
            begun.append(session.databases.name_of(connection.engine))
            if hook != "a function" or begun[-1] is None:  # which SQLite does not know
                HOOKED[hook](connection)

        return [rows(session), sorted(filter(None, begun))]

    found = [("ann", "view"), ("ann", "buy")]
    assert [found, ["analytics", "shop"]] == session_kind.run(databases, body, atomic=False)


def test_do_orm_execute(run: Run) -> None:
    """It is called once for the select, and not for its fragments; it may change the statement."""

    def body(session: Session) -> list[Any]:
        saved(session)
        seen: list[bool] = []

        @event.listens_for(session, "do_orm_execute")
        def narrowed(state: Any) -> None:
            seen.append(state.is_select)
            state.statement = state.statement.where(Event.kind == "buy")

        return [rows(session), seen]

    assert [[("ann", "buy")], [True]] == run(body)


def test_atomic_false(session_kind: SessionKind, databases: Databases) -> None:
    """Each database has a connection of its own, and the select reads through both."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.add(Event(id=3, user_id=1, kind="sold"))
        found = rows(session)
        session.commit()
        return [found, committed(session, "analytics", "events")]

    expected = [[("ann", "view"), ("ann", "buy"), ("ann", "sold")], 3]
    assert expected == session_kind.run(databases, body, atomic=False)


def test_collection_that_was_joined(run: Run) -> None:
    """contains_eager() and joinedload() fill collections that can be changed and flushed."""

    def body(session: Session) -> list[Any]:
        saved(session)
        for option in (joinedload(User.events), contains_eager(User.events)):
            session.expunge_all()
            statement = select(User) if option.path[0] and "joined" in str(option.context[0].strategy) else BOTH
            user = session.scalars(statement.options(option)).unique().one()
            user.events.append(Event(kind="more"))
            session.commit()
        return [session.scalar(select(func.count(Event.id)).join(User.events)), len(session.get_one(User, 1).events)]

    assert [4, 4] == run(body)


def small(tmp_path: Path, size: int = 2) -> Databases:
    """Three files whose pools have few connections; who waits for one for long fails."""
    return in_files(tmp_path, engine_options={"pool_size": size, "max_overflow": 0}, pool_timeout=20)


def test_many_threads_with_small_pools(tmp_path: Path) -> None:
    """Joins in both directions at once lock nobody out, give right answers, and leave nothing checked out."""
    databases = small(tmp_path)
    databases.create_all()
    with Session(databases) as session:
        saved(session)
    reversed_ = select(Event.kind, User.name).join(User, User.id == Event.user_id).order_by(Event.id)
    ready = threading.Barrier(8)

    def work(number: int) -> list[list[tuple[Any, ...]]]:
        ready.wait(20)
        found = []
        for turn in range(5):
            with Session(databases) as session:
                session.scalars(select(Event if number % 2 else User)).first()
                statement = (JOINED, reversed_)[(number + turn) % 2]
                found.append(sorted(rows(session, statement)))
        return found

    with ThreadPoolExecutor(8) as threads:
        found = [each for answers in threads.map(work, range(8)) for each in answers]

    expected = [("ann", "buy"), ("ann", "view")], [("buy", "ann"), ("view", "ann")]
    assert [True] * 40 == [each in expected for each in found]
    assert_idle(databases, asyncio=False)
    databases.dispose()


def test_many_tasks_with_small_pools(tmp_path: Path) -> None:
    """The same for tasks of an event loop."""
    databases = small(tmp_path)

    async def body(session: AsyncSession) -> list[Any]:
        await session.run_sync(saved)
        await session.close()

        async def work(number: int) -> list[Any]:
            async with AsyncSession(databases) as own:
                await own.scalars(select(Event if number % 2 else User))
                return [tuple(row) for row in await own.execute(JOINED)]

        return await asyncio.gather(*(work(number) for number in range(40)))

    assert [[("ann", "view"), ("ann", "buy")]] * 40 == run_async(databases, body)


def test_stream(databases: Databases) -> None:
    """AsyncSession.stream() gives the rows part by part, and stream_scalars() entities."""

    async def body(session: AsyncSession) -> list[Any]:
        await session.run_sync(saved)
        found = [tuple(row) async for row in await session.stream(JOINED)]
        users = [user.id async for user in await session.stream_scalars(BOTH)]
        parts = await session.stream(JOINED.execution_options(yield_per=1))
        return [found, users, [len(part) async for part in parts.partitions()]]

    assert [[("ann", "view"), ("ann", "buy")], [1, 1], [1, 1]] == run_async(databases, body)


def test_cancelled_task(databases: Databases) -> None:
    """The task ends with its cancellation, in the middle of a fragment; after rollback() the session works on."""

    async def body(session: AsyncSession) -> list[Any]:
        await session.run_sync(saved)
        task: asyncio.Task[Any] | None = None
        asked: list[str] = []

        def cancel(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
            if task is not None and "events" in sql and not task.cancelling():
                asked.append(sql)
                task.cancel()

        event.listen(Engine, "before_cursor_execute", cancel)
        try:
            task = asyncio.create_task(session.execute(JOINED))
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            event.remove(Engine, "before_cursor_execute", cancel)
        await session.rollback()
        assert_idle(databases, asyncio=True)
        return [len(asked), [tuple(row) for row in await session.execute(JOINED)]]

    assert [1, [("ann", "view"), ("ann", "buy")]] == run_async(databases, body)


def test_fragment_that_fails(run: Run) -> None:
    """The database's own error; after rollback() the session works on, with connections that are clean."""

    def body(session: Session) -> list[Any]:
        saved(session)

        def fail(_connection: Connection, _cursor: object, sql: str, *_: object) -> None:
            if "events" in sql:
                raise ZeroDivisionError

        event.listen(Engine, "before_cursor_execute", fail)
        try:
            with pytest.raises(ZeroDivisionError):
                rows(session)
        finally:
            event.remove(Engine, "before_cursor_execute", fail)
        session.rollback()
        assert_idle(session.databases, asyncio=session._asyncio)
        return rows(session)

    assert [("ann", "view"), ("ann", "buy")] == run(body)


RUNS: dict[str, Callable[[Session], list[Any]]] = {
    "begun by itself": lambda session: rows(session),
    "in begin()": lambda session: [row for _ in [0] for row in in_begin(session)],
}


def in_begin(session: Session) -> list[Any]:
    session.rollback()
    with session.begin():
        return rows(session)


@pytest.mark.parametrize("way", RUNS)
def test_begin(run: Run, way: str) -> None:
    """A select begins the transaction, or runs in the one that was begun."""

    def body(session: Session) -> list[Any]:
        saved(session)
        return RUNS[way](session)

    assert [("ann", "view"), ("ann", "buy")] == run(body)
