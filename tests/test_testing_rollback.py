"""rollback(): a block in which everything works, and after which nothing has been written."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from manybase import AsyncSession, ConfigurationError, Database, Databases, Session
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency
from manybase.testing import RollbackConflict, rollback
from tests.sessions import SessionKind, another, assert_idle
from tests.shop import MODELS, Entry, Event, User, in_files, shop_databases

T = TypeVar("T")
Inside = Callable[[Callable[[Session], T]], T]
NOTHING = [0, 0, 0]


def counts(session: Session) -> list[int]:
    """How many users, events and entries a session sees that begins now."""
    with another(session) as later:
        return [later.scalar(select(func.count()).select_from(model)) or 0 for model in (User, Event, Entry)]


def run_inside(kind: SessionKind, databases: Databases, body: Callable[[Session], T]) -> T:
    """What `body` returns for a session inside rollback(). Afterwards the databases are empty and the pools idle."""
    if kind.asyncio:
        return asyncio.run(arun_inside(databases, body))
    databases.create_all()
    try:
        with rollback(databases), Session(databases) as session:
            result = body(session)
        with Session(databases) as session:
            assert NOTHING == counts(session)
        assert_idle(databases, asyncio=False)
        return result
    finally:
        databases.dispose()


async def arun_inside(databases: Databases, body: Callable[[Session], T]) -> T:
    await databases.acreate_all()
    try:
        async with rollback(databases), AsyncSession(databases) as session:
            result = await session.run_sync(body)
        async with AsyncSession(databases) as session:
            assert NOTHING == await session.run_sync(counts)
        assert_idle(databases, asyncio=True)
        return result
    finally:
        await databases.adispose()


@pytest.fixture
def inside(session_kind: SessionKind, server_url: URL, tmp_path: Path) -> Inside[Any]:
    """Runs a body inside rollback(): sync and async, the shop on each kind of server, the others in SQLite files."""
    databases = shop_databases(urls(tmp_path) | {"shop": server_url})
    return lambda body: run_inside(session_kind, databases, body)


@pytest.fixture
def served(server_url: URL, tmp_path: Path) -> Iterator[Databases]:
    """Three databases with their tables, the shop on each kind of server, the others in SQLite files."""
    databases = shop_databases(urls(tmp_path) | {"shop": server_url})
    databases.create_all()
    yield databases
    databases.dispose()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Databases]:
    """Three SQLite files with their tables."""
    databases = in_files(tmp_path)
    databases.create_all()
    yield databases
    databases.dispose()


def urls(folder: Path) -> dict[str, str | URL]:
    return {name: f"sqlite:///{folder / name}.db" for name in MODELS}


def write(session: Session, name: str = "ann") -> None:
    session.add_all([User(name=name), Event(kind="view"), Entry(what="seen")])
    session.flush()


@pytest.fixture
def assert_no_connections_of_aiosqlite() -> Callable[[], None]:
    """Those of this test: each has a thread, which ends a moment after its connection is closed."""
    earlier = set(threading.enumerate())

    def assert_none() -> None:
        made = [each for each in threading.enumerate() if each not in earlier]
        connections = [thread for thread in made if "_connection_worker_thread" in thread.name]
        for thread in connections:
            thread.join(5)
        assert [] == [thread.name for thread in connections if thread.is_alive()]

    return assert_none


# The program's own transactions


def test_commit_over_three_databases(inside: Inside[Any]) -> None:
    """Its rows are there for every later session of the block, and gone when the block ends."""

    def body(session: Session) -> list[int]:
        write(session)
        session.commit()
        return counts(session)

    assert [1, 1, 1] == inside(body)


def test_rollback_after_a_commit(inside: Inside[Any]) -> None:
    """It undoes what came after the commit, and only that."""

    def body(session: Session) -> list[int]:
        write(session, "committed")
        session.commit()
        write(session, "undone")
        session.rollback()
        return counts(session)

    assert [1, 1, 1] == inside(body)


def test_session_closed_without_commit(inside: Inside[Any]) -> None:
    """What it wrote is undone."""

    def body(session: Session) -> list[int]:
        with another(session) as forgetful:
            write(forgetful)
        return counts(session)

    assert NOTHING == inside(body)


def test_savepoints(inside: Inside[Any]) -> None:
    """One that is rolled back is undone, one that is released stays, in all databases."""

    def body(session: Session) -> list[str]:
        undone = session.begin_nested()
        write(session, "undone")
        undone.rollback()
        with session.begin_nested():
            write(session, "kept")
        session.commit()
        return [*session.scalars(select(User.name)), *map(str, counts(session))]

    assert ["kept", "1", "1", "1"] == inside(body)


def test_statement_that_fails(inside: Inside[Any]) -> None:
    """After the session's rollback it works again, and so does every other; what was committed before is there."""

    def body(session: Session) -> list[int]:
        write(session)
        session.commit()
        session.add(User(name="ann"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(User(name="bob"))
        session.commit()
        return counts(session)

    assert [2, 1, 1] == inside(body)


def test_select_that_fails(inside: Inside[Any]) -> None:
    """A session that has only read recovers from an error too, without loss of what others committed meanwhile."""

    def body(session: Session) -> list[int]:
        session.scalars(select(User)).all()
        with another(session) as writer:
            write(writer)
            writer.commit()
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT nothing FROM nowhere"), bind_arguments={"database": "shop"})
        session.rollback()
        return counts(session)

    assert [1, 1, 1] == inside(body)


def test_pinned_sessions(inside: Inside[Any]) -> None:
    """They share the transaction of their database with sessions over all of them."""

    def body(session: Session) -> list[int]:
        for name, row in {"shop": User(name="ann"), "analytics": Event(kind="view"), "audit": Entry(what="x")}.items():
            with another(session, database=name) as pinned, pinned.begin():
                pinned.add(row)
        return counts(session)

    assert [1, 1, 1] == inside(body)


# Several sessions at once


def test_reader_ends_after_another_session_committed(inside: Inside[Any]) -> None:
    """The end of a session that only read undoes nothing."""

    def body(session: Session) -> list[int]:
        with another(session) as reader:
            counts_before = reader.scalars(select(User)).all()
            write(session)
            session.commit()
            assert [] == counts_before
            reader.rollback()
            assert ["ann"] == [user.name for user in reader.scalars(select(User))]
        return counts(session)

    assert [1, 1, 1] == inside(body)


def test_sessions_that_end_in_the_order_they_began(inside: Inside[Any]) -> None:
    """Each commit stays, and a later rollback undoes nothing of an earlier commit."""

    def body(session: Session) -> list[int]:
        with another(session) as second, another(session) as third:
            write(session, "first")
            write(second, "second")
            session.commit()
            write(third, "third")
            second.commit()
            third.rollback()
        return counts(session)

    assert [2, 2, 2] == inside(body)


def test_session_beside_one_that_rolls_back(inside: Inside[Any]) -> None:
    """A rollback of its own is not taken for one that undoes the other's writes: they are gone already."""

    def body(session: Session) -> list[int]:
        write(session, "first")
        with another(session) as other:
            write(other, "second")
            other.rollback()
        session.rollback()
        return counts(session)

    assert NOTHING == inside(body)


def test_reader_beside_a_session_that_rolls_back(inside: Inside[Any]) -> None:
    """It goes on, and ends, as if nothing had happened, be it beside a writer or beside another reader."""

    def body(session: Session) -> list[int]:
        session.scalars(select(User)).all()
        with another(session) as reader:
            reader.scalars(select(User)).all()
            session.rollback()
            reader.scalars(select(User)).all()
        write(session)
        with another(session) as reader:
            reader.scalars(select(User)).all()
            session.rollback()
            assert [] == reader.scalars(select(User)).all()
            reader.rollback()
        return counts(session)

    assert NOTHING == inside(body)


def test_savepoints_of_two_sessions(inside: Inside[Any]) -> None:
    """Each session has savepoints of its own."""

    def body(session: Session) -> list[str]:
        with another(session) as other, session.begin_nested():
            session.add(User(name="outer"))
            session.flush()
            with other.begin():
                other.add(User(name="other"))
                undone = other.begin_nested()
                other.add(User(name="undone"))
                other.flush()
                undone.rollback()
        session.commit()
        return [*session.scalars(select(User.name).order_by(User.name))]

    assert ["other", "outer"] == inside(body)


def test_rollback_that_takes_the_writes_of_another_session_along(inside: Inside[Any]) -> None:
    """It is an error that says so: one connection cannot undo the earlier writes and keep the later ones."""

    def body(session: Session) -> tuple[str, str, list[int]]:
        session.add(User(name="earlier"))
        session.flush()
        with another(session) as other:
            other.add(User(name="later"))
            other.commit()
        with pytest.raises(RollbackConflict, match="share one connection") as refused:
            session.rollback()
        session.rollback()
        return refused.value.database, str(refused.value), counts(session)

    database, message, left = inside(body)

    assert ("shop", NOTHING) == (database, left)
    assert "another session had written" in message


def test_session_that_goes_on_while_another_one_has_failed(inside: Inside[Any]) -> None:
    """It is not stopped by the error of the other, which loses what it wrote; so an error can be logged."""

    def body(session: Session) -> list[str]:
        session.add(User(name="lost"))
        session.flush()
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT nothing FROM nowhere"), bind_arguments={"database": "shop"})
        if session.get_bind(User).dialect.name != "postgresql":
            session.rollback()  # elsewhere a failed statement leaves the transaction as it is
        with another(session) as log, log.begin():
            log.add(User(name="logged"))
        session.rollback()
        return [*session.scalars(select(User.name))]

    assert ["logged"] == inside(body)


def test_commit_after_a_failed_statement(inside: Inside[Any]) -> None:
    """It keeps what the server would keep: nothing on PostgreSQL, elsewhere what succeeded."""

    def body(session: Session) -> bool:
        session.add(User(name="ann"))
        session.flush()
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT nothing FROM nowhere"), bind_arguments={"database": "shop"})
        session.commit()
        kept = 0 if session.get_bind(User).dialect.name == "postgresql" else 1
        return [kept, 0, 0] == counts(session)

    assert inside(body)


def test_savepoint_after_a_failure(inside: Inside[Any]) -> None:
    """What came before it stays, also when another session works in between."""

    def body(session: Session) -> list[str]:
        session.add(User(name="ann"))
        session.flush()
        inner = session.begin_nested()
        session.add(User(name="ann"))
        with pytest.raises(IntegrityError):
            session.flush()
        inner.rollback()
        with another(session) as other:
            other.scalars(select(User)).all()
        session.commit()
        return [*session.scalars(select(User.name))]

    assert ["ann"] == inside(body)


def test_many_tasks_at_once(served: Databases) -> None:
    """Each of them commits; statements take turns on the one connection."""

    async def one(number: int) -> None:
        async with AsyncSession(served) as session:
            await session.scalars(select(User))
            await session.run_sync(write, f"user {number}")
            await session.commit()

    async def main() -> list[int]:
        async with rollback(served):
            await asyncio.gather(*(one(number) for number in range(20)))
            async with AsyncSession(served) as session:
                inside = await session.run_sync(counts)
        async with AsyncSession(served) as session:
            after = await session.run_sync(counts)
        await served.adispose()
        return [*inside, *after]

    assert [20, 20, 20, *NOTHING] == asyncio.run(main())


# Drivers


def drivers(**of_servers: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("server", "driver"),
        [
            pytest.param(server, driver, marks=[getattr(pytest.mark, server), pytest.mark.server])
            for server, names in of_servers.items()
            for driver in names
        ],
    )


@drivers(postgresql=["psycopg", "psycopg2"], mariadb=["pymysql", "mysqlconnector"])
def test_sync_drivers(server: str, driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Commit, rollback and savepoints work with each driver."""
    url: URL = request.getfixturevalue(f"{server}_url")
    databases = shop_databases(urls(tmp_path) | {"shop": url.set(drivername=f"{server}+{driver}")})
    databases.create_all()

    with rollback(databases), Session(databases) as session:
        assert ["ann"] == commit_and_roll_back(session)
    with Session(databases) as session:
        assert NOTHING == counts(session)

    assert_idle(databases, asyncio=False)
    databases.dispose()


@drivers(postgresql=["psycopg", "asyncpg"], mariadb=["asyncmy", "aiomysql"])
def test_async_drivers(server: str, driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Commit, rollback and savepoints work with each driver."""
    url: URL = request.getfixturevalue(f"{server}_url")
    databases = shop_databases(urls(tmp_path) | {"shop": url.set(drivername=f"{server}+{driver}")})

    async def main() -> None:
        await databases.acreate_all()
        async with rollback(databases), AsyncSession(databases) as session:
            assert ["ann"] == await session.run_sync(commit_and_roll_back)
        async with AsyncSession(databases) as session:
            assert NOTHING == await session.run_sync(counts)
        assert_idle(databases, asyncio=True)
        await databases.adispose()

    asyncio.run(main())


def commit_and_roll_back(session: Session) -> list[str]:
    write(session)
    session.commit()
    session.add(User(name="bob"))
    session.flush()
    session.rollback()
    session.begin_nested().rollback()
    return [*session.scalars(select(User.name))]


def test_sqlite_in_memory(session_kind: SessionKind) -> None:
    """Databases in memory are rolled back like files."""
    databases = shop_databases(dict.fromkeys(MODELS, "sqlite://"))

    assert [1, 1, 1] == run_inside(
        session_kind, databases, lambda session: (write(session), session.commit())[0] or counts(session)
    )


# Engines


def test_engine_used_without_a_session(files: Databases) -> None:
    """What it commits is seen by sessions, and undone with the rest."""
    with rollback(files):
        with files.engine("audit").begin() as connection:
            connection.execute(text("INSERT INTO entries (what) VALUES ('core')"))
        with Session(files) as session:
            assert [0, 0, 1] == counts(session)

    with Session(files) as session:
        assert NOTHING == counts(session)


def test_engines_of_the_program(tmp_path: Path) -> None:
    """An `engine=` has its own pool back afterwards, which gives out as many connections as before."""
    engine = create_engine(f"sqlite:///{tmp_path / 'audit.db'}", pool_size=1, max_overflow=0)
    databases = Databases(Database("audit", engine=engine, models=Entry))
    databases.create_all()
    pool = engine.pool

    with rollback(databases):
        with Session(databases) as session, session.begin():
            session.add(Entry(what="x"))
        assert engine.pool is not pool
        assert {"audit": 1} == databases.slots()._capacity

    assert engine.pool is pool
    with Session(databases) as session:
        assert [] == session.scalars(select(Entry)).all()
    engine.dispose()


def test_listeners_of_an_engine(files: Databases) -> None:
    """They hear what runs inside the block, as always; those of the block are gone afterwards."""
    engine = files.engine("audit")
    heard: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _k, sql, *_: heard.append(sql))

    def listening() -> list[int]:
        names = "before_cursor_execute", "set_connection_execution_options"
        return [
            *(len(list(getattr(engine.dispatch, name))) for name in names),
            len(list(engine.dialect.dispatch.handle_error)),
        ]

    before = listening()
    for _ in range(2):
        with rollback(files), Session(files) as session:
            session.scalars(select(Entry)).all()

    assert 2 == len(heard)
    assert before == listening()


def test_engine_that_begins_transactions_by_itself(tmp_path: Path) -> None:
    """SQLAlchemy's recipe for SQLite, a BEGIN of its own, does no harm."""
    engine = create_engine(f"sqlite:///{tmp_path / 'audit.db'}")
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    databases = Databases(Database("audit", engine=engine, models=Entry))
    databases.create_all()

    with rollback(databases), Session(databases) as session:
        session.add(Entry(what="x"))
        session.commit()
        assert 1 == len(session.scalars(select(Entry)).all())

    with Session(databases) as session:
        assert [] == session.scalars(select(Entry)).all()
    engine.dispose()


def test_commit_as_a_statement(files: Databases) -> None:
    """It is refused: it would write for good."""
    with rollback(files), Session(files) as session, pytest.raises(RollbackConflict, match="Use commit"):
        session.execute(text("COMMIT"), bind_arguments={"database": "audit"})


def test_isolation_level(inside: Inside[Any]) -> None:
    """One that a session asks for is left aside, as the transaction has long begun; autocommit is refused."""

    def body(session: Session) -> list[int]:
        session.connection({"database": "shop"}, execution_options={"isolation_level": "SERIALIZABLE"})
        write(session)
        session.commit()
        with pytest.raises(ConfigurationError, match="autocommit"):
            session.connection({"database": "shop"}, execution_options={"isolation_level": "AUTOCOMMIT"})
        return counts(session)

    assert [1, 1, 1] == inside(body)


def test_engine_with_an_isolation_level_in_its_execution_options(tmp_path: Path) -> None:
    """It is refused: SQLAlchemy sets it with a COMMIT on some drivers."""
    options = {"execution_options": {"isolation_level": "SERIALIZABLE"}}
    databases = in_files(tmp_path, engine_options=options)

    with rollback(databases), Session(databases) as session, pytest.raises(ConfigurationError, match="isolation_level"):
        session.scalars(select(Entry))

    databases.dispose()


# The block


def test_exception_leaves_the_block(files: Databases) -> None:
    """It passes, all is rolled back, and the next block works."""
    for _ in range(2):
        with pytest.raises(IntegrityError):
            break_inside(files)

    with Session(files) as session:
        assert NOTHING == counts(session)
    assert_idle(files, asyncio=False)


def break_inside(databases: Databases) -> None:
    with rollback(databases), Session(databases) as session:
        write(session)
        session.commit()
        write(session)


def test_block_inside_a_block(files: Databases) -> None:
    """It is refused, and the outer one goes on."""
    with rollback(files), Session(files) as session:
        write(session)
        session.commit()
        with pytest.raises(ConfigurationError, match="inside a rollback"), rollback(files):
            pass
        assert [1, 1, 1] == counts(session)

    with Session(files) as session:
        assert NOTHING == counts(session)


def test_block_entered_again(files: Databases) -> None:
    """What rollback() returns can be used again, after it has ended."""
    block = rollback(files)
    for _ in range(2):
        with block, Session(files) as session:
            write(session)
            session.commit()

    with Session(files) as session:
        assert NOTHING == counts(session)


def test_session_that_is_open_when_the_block_ends(files: Databases) -> None:
    """It must not go on as if it were still in there; after its rollback it is like any other."""
    with rollback(files):
        session = Session(files)
        write(session)

    with pytest.raises(RollbackConflict, match="the block has ended"):
        session.scalars(select(Entry)).all()
    session.rollback()
    assert NOTHING == counts(session)
    session.close()


def test_dispose_inside_the_block(files: Databases) -> None:
    """An application that shuts down inside a test takes nothing away from the test; it is done when the block ends."""
    engine = files.engine("audit")
    with rollback(files):
        with Session(files) as session:
            write(session)
            session.commit()
        files.dispose()
        with Session(files) as session:
            assert [1, 1, 1] == counts(session)

    assert files.engine("audit") is not engine


def test_server_killed_inside_the_block(private_postgresql: Any, tmp_path: Path) -> None:
    """The test sees the error of its own statement; the block ends quietly, and the next one works."""
    url = private_postgresql.create_database()
    databases = shop_databases(urls(tmp_path) | {"shop": url})
    databases.create_all()

    with rollback(databases), Session(databases) as session:
        write(session)
        private_postgresql.kill()
        with pytest.raises(DBAPIError):
            session.scalars(select(User)).all()
        session.close()
    private_postgresql.start()
    with rollback(databases), Session(databases) as session:
        assert NOTHING == counts(session)

    databases.dispose()
    private_postgresql.drop_database(url)


# Sync, async, event loops


def test_with_instead_of_async_with(files: Databases) -> None:
    """An async session then raises at once: nothing could give its connection back."""

    async def main() -> None:
        with rollback(files):
            async with AsyncSession(files) as session:
                await session.scalars(select(Entry))

    with pytest.raises(ConfigurationError, match="async with rollback"):
        asyncio.run(main())


def test_sync_sessions_in_async_code(files: Databases) -> None:
    """Both forms of the block serve them."""

    async def main() -> list[int]:
        with rollback(files), Session(files) as session:
            write(session)
            session.commit()
        async with rollback(files):
            with Session(files) as session:
                write(session)
                session.commit()
        with Session(files) as session:
            return counts(session)

    assert NOTHING == asyncio.run(main())


def test_sync_and_async_sessions_over_different_databases(files: Databases) -> None:
    """They go side by side, and all is rolled back."""

    async def main() -> list[int]:
        async with rollback(files):
            with Session(files) as session:
                session.add(User(name="ann"))
                session.commit()
                async with AsyncSession(files) as asession:
                    asession.add(Entry(what="x"))
                    await asession.commit()
                session.scalars(select(User)).all()
        async with AsyncSession(files) as asession:
            return await asession.run_sync(counts)

    assert NOTHING == asyncio.run(main())


def test_sync_and_async_sessions_over_one_database(files: Databases) -> None:
    """The second does not wait for locks, nor miss what the first committed: an error says at once what to do."""

    async def main() -> None:
        async with rollback(files), AsyncSession(files) as session:
            with Session(files) as first:
                write(first)
                first.commit()
            with pytest.raises(RollbackConflict, match="sync sessions have committed"):
                await session.scalars(select(User))

    asyncio.run(main())
    with Session(files) as session:
        assert NOTHING == counts(session)


def test_cancelled_task(served: Databases) -> None:
    """Its connections are given back, and all is rolled back."""

    async def block(entered: asyncio.Event) -> None:
        async with rollback(served), AsyncSession(served) as session:
            await session.run_sync(write)
            await session.commit()
            entered.set()
            await asyncio.sleep(60)

    async def main() -> list[int]:
        entered = asyncio.Event()
        task = asyncio.create_task(block(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with rollback(served):
            pass
        assert_idle(served, asyncio=True)
        async with AsyncSession(served) as session:
            after = await session.run_sync(counts)
        await served.adispose()
        return after

    assert NOTHING == asyncio.run(main())


def test_cancellation_that_does_not_end(files: Databases) -> None:
    """The block ends in full although every `await` in it is cancelled, as anyio's timeouts do."""

    async def main() -> None:
        with anyio.move_on_after(0.1):
            async with rollback(files), AsyncSession(files) as session:
                await session.run_sync(write)
                await session.commit()
                await asyncio.sleep(60)
        assert_idle(files, asyncio=True)
        async with rollback(files), AsyncSession(files) as session:
            assert NOTHING == await session.run_sync(counts)
        await files.adispose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "slow"),
    [
        pytest.param("postgresql", "SELECT pg_sleep(60)", marks=[pytest.mark.postgresql, pytest.mark.server]),
        (
            "sqlite",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n",
        ),
    ],
)
def test_cancelled_statement(server: str, slow: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Its session is rolled back; what others have committed stays, and they go on."""
    databases = shop_databases(urls(tmp_path) | {"shop": request.getfixturevalue(f"{server}_url")})

    async def write_slowly() -> None:
        async with AsyncSession(databases) as session:
            await session.run_sync(write, "cancelled")
            await session.execute(text(slow), bind_arguments={"database": "shop"})

    async def main() -> None:
        await databases.acreate_all()
        async with rollback(databases):
            async with AsyncSession(databases) as session:
                await session.run_sync(write)
                await session.commit()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write_slowly(), 0.5)
            async with AsyncSession(databases) as session:
                assert [1, 1, 1] == await session.run_sync(counts)
        async with AsyncSession(databases) as session:
            assert NOTHING == await session.run_sync(counts)
        await databases.adispose()

    asyncio.run(main())


def test_event_loop_that_ends_before_the_block(
    served: Databases, assert_no_connections_of_aiosqlite: Callable[[], None]
) -> None:
    """Its connections end with it, also where nobody disposes its engines; then no rows are missed silently."""

    async def main() -> None:
        async with AsyncSession(served) as session:
            await session.run_sync(write)
            await session.commit()

    with rollback(served):
        asyncio.run(main())
        assert_no_connections_of_aiosqlite()
        with pytest.raises(RollbackConflict, match="an event loop that has ended"):
            asyncio.run(main())

    with Session(served) as session:
        assert NOTHING == counts(session)


def test_event_loop_that_rests_when_the_block_ends(served: Databases) -> None:
    """Its connections are given back all the same: so it is with a fixture around an async test."""

    async def body() -> None:
        async with AsyncSession(served) as session:
            await session.run_sync(write)
            await session.commit()

    async def after() -> list[int]:
        assert_idle(served, asyncio=True)
        async with AsyncSession(served) as session:
            return await session.run_sync(counts)

    with asyncio.Runner() as runner:
        with rollback(served):
            runner.run(body())
        assert NOTHING == runner.run(after())
        runner.run(served.adispose())


def test_event_loop_closed_by_hand(files: Databases) -> None:
    """Even one that was closed without its shutdown steps leaves nothing written."""

    async def body() -> None:
        async with AsyncSession(files) as session:
            await session.run_sync(write)
            await session.commit()

    loop = asyncio.new_event_loop()
    with rollback(files):
        loop.run_until_complete(body())
        loop.close()

    with Session(files) as session:
        assert NOTHING == counts(session)


# Applications


def shop_app(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))

    @app.post("/users/{name}")
    async def create(
        name: str,
        session: Annotated[AsyncSession, session_dependency(databases)],
        stream: Annotated[AsyncSession, streaming_dependency(databases)],
        fail: bool = False,
    ) -> int:
        seen = (await stream.scalars(select(User))).all()
        session.add_all([User(name=name), Event(kind="signup")])
        if fail:
            await session.flush()
            raise RuntimeError
        return len(seen)

    @app.get("/users")
    async def users(session: Annotated[AsyncSession, session_dependency(databases)]) -> list[str]:
        return list(await session.scalars(select(User.name).order_by(User.id)))

    @app.post("/sync/{name}")
    def create_sync(name: str, session: Annotated[Session, sync_session_dependency(databases)]) -> None:
        session.add(User(name=name))

    return app


def test_application_that_starts_and_stops_inside_the_block(served: Databases) -> None:
    """Requests see what earlier ones committed; nothing is left when it has stopped."""
    with rollback(served), TestClient(shop_app(served), raise_server_exceptions=False) as client:
        assert 0 == client.post("/users/ann").json()
        assert 500 == client.post("/users/bob?fail=1").status_code
        assert 1 == client.post("/users/cyd").json()
        assert ["ann", "cyd"] == client.get("/users").json()

    with Session(served) as session:
        assert NOTHING == counts(session)


def test_application_that_outlives_the_block(served: Databases) -> None:
    """Its event loop runs in another thread, and gives its connections back there."""
    with TestClient(shop_app(served)) as client:
        for _ in range(2):
            with rollback(served):
                client.post("/users/ann")
                assert ["ann"] == client.get("/users").json()
        assert [] == client.get("/users").json()


def test_rows_prepared_for_an_application(files: Databases) -> None:
    """`client.portal.call` runs an async function of the test where the application can see what it commits."""

    async def prepare() -> None:
        async with AsyncSession(files) as session:
            session.add(User(name="prepared"))
            await session.commit()

    with rollback(files), TestClient(shop_app(files)) as client:
        assert client.portal is not None
        client.portal.call(prepare)
        assert ["prepared"] == client.get("/users").json()


def test_sync_rows_prepared_for_an_async_application(files: Databases) -> None:
    """They cannot be seen, and the error says so."""
    with rollback(files), TestClient(shop_app(files)) as client:
        with Session(files) as session:
            write(session)
            session.commit()
        with pytest.raises(RollbackConflict, match="portal"):
            client.get("/users")


def test_client_without_with(files: Databases, assert_no_connections_of_aiosqlite: Callable[[], None]) -> None:
    """Each request has an event loop of its own; the second one learns that it misses what the first committed."""
    client = TestClient(shop_app(files))

    with rollback(files):
        client.post("/users/ann")
        with pytest.raises(RollbackConflict, match="with TestClient"):
            client.get("/users")

    assert_no_connections_of_aiosqlite()


def test_sync_routes(files: Databases) -> None:
    """What they commit in their threads is seen by the test's own sync sessions, also after the application stopped."""
    with rollback(files):
        with TestClient(shop_app(files)) as client:
            client.post("/sync/ann")
        with Session(files) as session:
            assert [1, 0, 0] == counts(session)

    with Session(files) as session:
        assert NOTHING == counts(session)
