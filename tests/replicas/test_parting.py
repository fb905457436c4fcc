"""psycopg's connections to a replica: the ROLLBACK of a reader is sent, and whoever comes next hears its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.util import await_only

from manybase import AsyncSession, Replica, Session
from tests.replicas.counters import DRIVERS, Driver, Pair, declare, read, replica, served, with_counter
from tests.servers.frozen import frozen
from tests.servers.replicated import Streaming

pytestmark = [pytest.mark.server, pytest.mark.once]
of_psycopg: Callable[[Any], Any] = pytest.mark.parametrize("driver", DRIVERS[::2], ids=str)
PID = "SELECT pg_backend_pid()"


def replicate_counter(session: Session, pair: Pair[Streaming]) -> None:
    with_counter(session)
    pair.servers.wait()


def connect(session: Session) -> Connection:
    """A connection of the replica's pool, past manybase."""
    bind: Any = session.databases.bind("shop/1", asyncio=session._asyncio)
    connected: Connection = bind.connect()
    return connected


def driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection


def wait_for(result: Any, session: Session) -> Any:
    return await_only(result) if session._asyncio else result


@of_psycopg
def test_answer_is_not_waited_for(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """And the transaction is over all the same: the server says so."""

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        read(session)
        with connect(session) as connection:
            reader = driver_of(connection)
            assert reader.is_unheard
            pid = reader.info.backend_pid
            with on_postgresql.servers.replica.connect() as other:
                state = f"SELECT state FROM pg_stat_activity WHERE pid = {pid}"
                while other.exec_driver_sql(state).scalar() != "idle":
                    pass
            assert pid == connection.exec_driver_sql(PID).scalar()
            assert not reader.is_unheard

    driver.kind.run(declare(on_postgresql, driver), body)


@of_psycopg
@pytest.mark.parametrize("use", ["commit", "rollback", "autocommit", "execute"])
def test_whoever_comes_next_hears_it(on_postgresql: Pair[Streaming], driver: Driver, use: str) -> None:

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        read(session)
        with connect(session) as connection:
            reader = driver_of(connection)
            if use == "autocommit":
                wait_for(reader.set_autocommit(True), session)
                wait_for(reader.set_autocommit(False), session)
            else:
                wait_for(getattr(reader, use)(*(["SELECT 1"] if use == "execute" else [])), session)
            assert not reader.is_unheard
            wait_for(reader.rollback(), session)
            assert 0 == connection.exec_driver_sql("SELECT value FROM counters").scalar()
        assert 0 == read(session)

    driver.kind.run(declare(on_postgresql, driver), body)


@of_psycopg
def test_each_session_begins_anew(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """On one connection all the time; what one has set for its transaction, the next one does not see."""

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        pids = set()
        for _ in range(20):
            with replica(session) as reading:
                connection = reading.connection()
                assert "" == connection.exec_driver_sql("SELECT coalesce(current_setting('my.own', true), '')").scalar()
                connection.exec_driver_sql("SET LOCAL my.own = 'mine'")
                pids.add(connection.exec_driver_sql(PID).scalar())
        assert 1 == len(pids)
        assert {"replica": 20} == served(session.databases)

    driver.kind.run(declare(on_postgresql, driver), body)


@of_psycopg
def test_table_that_is_altered(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """Nothing that was prepared for the table as it was is used after that."""

    def body(session: Session) -> int:
        replicate_counter(session, on_postgresql)
        for _ in range(10):
            read(session)
        session.execute(text("ALTER TABLE counters ALTER value TYPE bigint"))
        session.commit()
        on_postgresql.servers.wait()
        read(session)
        return served(session.databases)["replica"]

    assert 11 == driver.kind.run(declare(on_postgresql, driver), body)


def test_cancelled_while_it_hears(on_postgresql: Pair[Streaming]) -> None:
    """The connection goes back to its pool, which serves the next one."""
    databases = declare(on_postgresql, DRIVERS[2])

    async def main() -> list[Any]:
        async with AsyncSession(databases) as session:
            await session.run_sync(replicate_counter, on_postgresql)
        pid = await pid_of_reader()
        with frozen(pid):
            task = asyncio.create_task(pid_of_reader())
            await asyncio.sleep(0.3)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pool: Any = databases.async_engine("shop/1").sync_engine.pool
        found = [pool.checkedout(), await pid_of_reader() > 0]
        await databases.adispose()
        return found

    async def pid_of_reader() -> int:
        async with AsyncSession(databases, role="replica") as session:
            return int(await session.scalar(text(PID)) or 0)

    assert [0, True] == asyncio.run(main())


@of_psycopg
def test_transaction_that_failed(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """Its ROLLBACK is waited for, as always."""

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        with replica(session) as reading, pytest.raises(ProgrammingError):
            reading.connection().exec_driver_sql("SELECT * FROM nowhere")
        with connect(session) as connection:
            assert not driver_of(connection).is_unheard
        assert 0 == read(session)

    driver.kind.run(declare(on_postgresql, driver), body)


@of_psycopg
def test_answer_that_leaves_a_transaction_open(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """No driver knows how that could be: the connection is closed, and the pool has another one."""

    def body(session: Session) -> None:
        with connect(session) as connection:
            reader = driver_of(connection)
            connection.exec_driver_sql(PID)
            reader.pgconn.send_query(b"SELECT 1")
            reader.is_unheard = True
            with pytest.raises(OperationalError, match="lost while its last transaction ended") as caught:
                connection.exec_driver_sql(PID)
            assert caught.value.connection_invalidated
            assert reader.closed
        with connect(session) as connection:
            assert connection.exec_driver_sql(PID).scalar()

    driver.kind.run(declare(on_postgresql, driver), body)


@of_psycopg
def test_server_that_died_before_its_answer(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """The primary serves; a pool that somebody else asks has a new connection."""

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        read(session)
        on_postgresql.servers.replica.kill()
        assert 0 == read(session)
        assert {"replica": 1, "no replica": 1} == served(session.databases)
        on_postgresql.servers.replica.start()

    driver.kind.run(declare(on_postgresql, driver), body)


def test_engine_of_the_program(on_postgresql: Pair[Streaming]) -> None:
    """It keeps the connections that it makes."""
    engine = create_engine(on_postgresql.url_on_replica.set(drivername="postgresql+psycopg"))
    databases = declare(on_postgresql, replicas=[Replica(engine=engine)])
    made: list[str] = []
    event.listen(engine, "connect", lambda connection, _: made.append(type(connection).__name__))

    def body(session: Session) -> None:
        replicate_counter(session, on_postgresql)
        read(session)

    DRIVERS[0].kind.run(databases, body)
    assert ["Connection"] == made
    engine.dispose()
