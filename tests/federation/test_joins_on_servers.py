"""A select over two servers in a session: what SQLite files cannot show."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, NullPool, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError

from manybase import AsyncSession, Databases, Federation, FederationLimit, Session
from tests.servers.frozen import frozen
from tests.servers.server import Server
from tests.sessions import Async, Run, SessionKind, Sync, another, assert_idle, committed, run_async
from tests.shop import Event, User, ann, shop_databases

JOINED = select(User.name, Event.kind).join(Event, Event.user_id == User.id).order_by(Event.id)


DATABASES = ("shop", "analytics", "audit")


@pytest.fixture
def servers(postgresql: Server, create_database: Callable[[Server], URL]) -> Databases:
    """Three databases of one PostgreSQL."""
    return shop_databases({name: create_database(postgresql) for name in DATABASES})


@pytest.fixture
def run(session_kind: SessionKind, servers: Databases) -> Run:
    return partial(session_kind.run, servers)


def rows(session: Session) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(JOINED)]


def test_twophase_of_sqlalchemy(run: Run) -> None:
    """A session with SQLAlchemy's own twophase=True joins, commits both databases, and joins again."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        before = rows(session)
        session.commit()
        with another(session) as reader:
            return [len(before), rows(reader), committed(session, "analytics", "events")]

    assert [2, [("ann", "view"), ("ann", "buy")], 2] == run(body, twophase=True)


def test_atomic_commit_after_a_join(run: Run) -> None:
    """The connection of the select takes no part in it; both databases do."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        user, event = session.execute(select(User, Event).join(User.events).order_by(Event.id).limit(1)).one()
        user.name, event.kind = "eve", "seen"
        session.commit()
        return rows(session)

    assert [("eve", "seen"), ("eve", "buy")] == run(body)


@contextmanager
def locked(databases: Databases) -> Iterator[Callable[[], int]]:
    """Nobody can read events meanwhile; gives how many statements wait for them."""
    url = databases["analytics"].resolve_url().set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as holder, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
        holder.exec_driver_sql("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        yield lambda: watcher.exec_driver_sql(WAITING).scalar_one()


WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_cancelled_task(servers: Databases) -> None:
    """Its fragment is cancelled on the server too, where it would go on otherwise; the session works on."""

    async def body(session: AsyncSession) -> list[Any]:
        session.add(ann())
        await session.commit()
        with locked(servers) as waiting:
            task = asyncio.create_task(session.execute(JOINED))
            await asyncio.to_thread(wait_until, lambda: waiting() == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)
            await asyncio.to_thread(wait_until, lambda: waiting() == 0)
            await session.rollback()
            assert_idle(servers, asyncio=True)
        return [tuple(row) for row in await session.execute(JOINED)]

    assert [("ann", "view"), ("ann", "buy")] == run_async(servers, body)


def test_timeout_while_a_server_keeps_the_rows_back(servers: Databases) -> None:
    """The statement ends at its deadline, and its fragment is cancelled on the server."""
    patience: Any = {"execution_options": {"federation": Federation(timeout=1)}}

    def body(session: Session) -> int:
        session.add(ann())
        session.commit()
        with ThreadPoolExecutor(1) as thread, locked(servers) as waiting:
            running = thread.submit(lambda: session.execute(JOINED, **patience).all())
            with pytest.raises(FederationLimit, match="timeout=1"):
                running.result(timeout=5)
            session.rollback()
            wait_until(lambda: waiting() == 0)
        return len(rows(session))

    assert 2 == Sync().run(servers, body)


@pytest.mark.parametrize(
    ("kind", "driver", "status"),
    [
        pytest.param(Sync(), "psycopg", "ACTIVE", id="psycopg"),
        pytest.param(Async(), "psycopg", "ACTIVE", id="psycopg under asyncio"),
        pytest.param(Sync(), "psycopg2", None, id="psycopg2, which cannot"),
        pytest.param(Async(), "asyncpg", None, id="asyncpg, which cannot"),
    ],
)
def test_transactions_begin_together(
    postgresql: Server,
    create_database: Callable[[Server], URL],
    kind: SessionKind,
    driver: str,
    status: str | None,
) -> None:
    """When the first fragment runs, the other database has been told to begin; with psycopg, that is."""
    urls = {name: create_database(postgresql).set(drivername=f"postgresql+{driver}") for name in DATABASES}
    found: list[str | None] = []

    def body(session: Session) -> int:
        session.add(ann())
        session.commit()
        engine: Any = session.databases.bind("shop", asyncio=session._asyncio)
        event.listen(engine, "before_cursor_execute", lambda *_: found.append(status_of_other(session)))
        return len(rows(session))

    def status_of_other(session: Session) -> str | None:
        other: Any = session.connection(bind_arguments={"database": "analytics"}).connection.driver_connection
        return TransactionStatus(other.pgconn.transaction_status).name if hasattr(other, "pgconn") else None

    assert 2 == kind.run(shop_databases(urls), body)
    assert [status] == found


@pytest.mark.parametrize("name", ["shop", "analytics"])
def test_backend_that_does_not_answer(servers: Databases, name: str) -> None:
    """Not even to BEGIN: the statement ends at its deadline, and the connection to the other one is as it was."""
    patience: Any = {"execution_options": {"federation": Federation(timeout=1)}}
    pid_of_backend = select(func.pg_backend_pid())

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.commit()
        before = len(rows(session))
        other = {"database": "analytics" if name == "shop" else "shop"}
        kept = session.scalar(pid_of_backend, bind_arguments=other)
        pid = session.scalar(pid_of_backend, bind_arguments={"database": name})
        session.rollback()
        with frozen(pid):
            with pytest.raises(FederationLimit, match="timeout=1"):
                session.execute(JOINED, **patience)
            session.rollback()
        assert kept == session.scalar(pid_of_backend, bind_arguments=other)
        return [before, len(rows(session))]

    assert [2, 2] == Sync().run(servers, body)


def test_backend_that_does_not_answer_and_need_not(servers: Databases) -> None:
    """Its fragment turns out not to be needed: the statement says all the same what became of the transaction."""

    def body(session: Session) -> int:
        session.add(ann())
        session.commit()
        rows(session)
        pid = session.scalar(select(func.pg_backend_pid()), bind_arguments={"database": "analytics"})
        session.rollback()
        patience: Any = {"execution_options": {"federation": Federation(timeout=1)}}
        with frozen(pid):
            with pytest.raises(FederationLimit, match="'analytics' went over timeout=1"):
                session.execute(JOINED.where(User.name == "nobody"), **patience)
            session.rollback()
        return len(rows(session))

    assert 2 == Sync().run(servers, body)


def test_hook_that_uses_another_database(servers: Databases) -> None:
    """Whoever listens to the beginnings of a session finds every connection ready."""
    begun: dict[str | None, Connection] = {}
    found: list[Any] = []

    class Hooked(Session):
        pass

    @event.listens_for(Hooked, "after_begin")
    def look(session: Session, _: object, connection: Connection) -> None:
        found.extend(each.exec_driver_sql("SELECT count(*) FROM users").scalar() for each in begun.values())
        if name := session.databases.name_of(connection.engine):
            begun[name] = connection

    servers.create_all()
    with Session(servers) as session:
        session.add(ann())
        session.commit()
    with Hooked(servers) as session:
        assert 2 == len(rows(session))
    servers.dispose()
    assert [1] == found


def test_server_that_ends_the_connection(run: Run) -> None:
    """The driver's error; after rollback() the session works on, with new connections."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        rows(session)
        pid = session.scalar(select(func.pg_backend_pid()), bind_arguments={"database": "analytics"})
        with another(session, database="analytics") as killer:
            killer.scalar(select(func.pg_terminate_backend(pid, 5_000)))
        with pytest.raises(DBAPIError):
            rows(session)
        session.rollback()
        assert_idle(session.databases, asyncio=session._asyncio)
        return rows(session)

    assert [("ann", "view"), ("ann", "buy")] == run(body)
