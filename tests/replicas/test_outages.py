"""Replicas that die, stand still, fall behind or are promoted: no stale read, no error, and they come back."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from manybase import Database, Databases, NoReplica, Position, Replica, Session
from manybase.replication.silence import is_gone
from manybase.serving import Serving
from manybase.watching import watching
from tests.replicas.counters import (
    Base,
    Driver,
    Pair,
    both_kinds,
    declare,
    read,
    served,
    stale_reads,
    with_counter,
    write,
)
from tests.servers.replicated import Replicated, Streaming, paused, start_standby

pytestmark = [pytest.mark.server, pytest.mark.once]


def state(databases: Databases) -> str:
    return databases.replicas["shop"].replicas[0].state


def until(happened: Callable[[], bool], *, timeout: float = 15) -> None:
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "It has not happened in time."


def comes_back(session: Session) -> bool:
    """Whether a read that is current comes from the replica."""
    before = session.databases.replicas["shop"].served["replica"]
    assert 0 == stale_reads(session, 1)
    return session.databases.replicas["shop"].served["replica"] > before


@both_kinds
def test_killed_while_somebody_waits(
    on_postgresql: Pair[Streaming], driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary serves, and once the replica runs again, it does."""
    databases = declare(on_postgresql, driver)
    servers = on_postgresql.servers
    pause = Serving.pause

    def kill(serving: Serving, seconds: float) -> None:
        servers.replica.kill()
        pause(serving, seconds)

    def body(session: Session) -> None:
        with_counter(session)
        servers.wait()
        stale_reads(session, 1)
        servers.delay(200)
        monkeypatch.setattr(Serving, "pause", kill)
        assert 0 == stale_reads(session, 3)
        assert "down" == state(databases)
        monkeypatch.undo()
        servers.replica.start()
        servers.delay(0)
        until(lambda: comes_back(session))

    driver.kind.run(databases, body)


@both_kinds
def test_killed_between_two_reads(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """A connection that is in the pool and lost shows before anything is read on it."""
    databases = declare(on_postgresql, driver)

    def body(session: Session) -> list[int]:
        with_counter(session)
        on_postgresql.servers.wait()
        read(session)
        assert {"replica": 1} == served(databases)
        on_postgresql.servers.replica.kill()
        found = [read(session), read(session, after=session.position)]
        on_postgresql.servers.replica.start()
        return found

    assert [0, 0] == driver.kind.run(databases, body)


@both_kinds
def test_terminated_after_its_answer(
    on_postgresql: Pair[Streaming],
    driver: Driver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a replay may do it to a transaction in its way: the primary serves, and nobody logs a traceback."""
    databases, servers = declare(on_postgresql, driver), on_postgresql.servers

    def terminate(*_: object, **__: object) -> None:
        with servers.replica.connect() as connection:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {others}")
            until(lambda: connection.exec_driver_sql(f"SELECT count(*) {others}").scalar() == 0)

    def body(session: Session) -> int:
        with_counter(session)
        servers.wait()
        read(session)
        servers.delay(60_000)
        monkeypatch.setattr("manybase.replicas.Replica.note_wait", terminate)
        written = write(session)
        return read(session, after=session.position) - written

    assert 0 == driver.kind.run(databases, body)
    assert {"replica": 1, "not replayed": 1} == served(databases)
    assert [] == caplog.messages


def test_connection_that_is_there(on_postgresql: Pair[Streaming]) -> None:
    """With asyncpg too that shows at once: the event loop does not have to turn for it."""

    async def body() -> tuple[bool, bool]:
        engine = create_async_engine(on_postgresql.url_on_replica.set(drivername="postgresql+asyncpg"))
        turned = asyncio.Event()
        async with engine.connect() as connection:
            asyncio.get_running_loop().call_soon(turned.set)
            gone = await connection.run_sync(lambda sync: is_gone(sync, sync.info))
            found = gone, turned.is_set()
        await engine.dispose()
        return found

    assert (False, False) == asyncio.run(body())


@both_kinds
def test_nothing_is_replayed(pair: Pair[Replicated], driver: Driver) -> None:
    """It is noticed, the primary serves, and afterwards the replica does again."""
    databases = declare(pair, driver)

    def body(session: Session) -> None:
        with_counter(session)
        pair.servers.wait()
        stale_reads(session, 1)
        with paused(pair.servers):
            until(lambda: stale_reads(session, 1) == 0 and state(databases) == "paused")
            assert 0 == stale_reads(session, 1, position=False)  # it is out, for those without a position too
        until(lambda: comes_back(session))

    driver.kind.run(databases, body)


@both_kinds
def test_too_far_behind(on_postgresql: Pair[Streaming], driver: Driver) -> None:
    """Nobody is sent there, and it is told how far it is behind; afterwards it serves again."""
    databases = declare(on_postgresql, driver, max_lag=0.3)

    def body(session: Session) -> None:
        with_counter(session)
        on_postgresql.servers.wait()
        on_postgresql.servers.delay(5_000)
        until(lambda: stale_reads(session, 1) == 0 and state(databases) == "lagging")
        (replica,) = databases.replicas["shop"]
        assert (replica.lag_seconds or 0) > 0.3
        assert (replica.lag or 0) > 0
        on_postgresql.servers.delay(0)
        until(lambda: comes_back(session))

    driver.kind.run(databases, body)


def test_all_are_out(on_postgresql: Pair[Streaming]) -> None:
    """With fallback=False the primary is left alone, and the error says what each replica is."""
    databases = declare(on_postgresql, fallback=False)
    on_postgresql.servers.replica.kill()
    with Session(databases) as session:
        with pytest.raises(NoReplica, match="shop/1: down") as caught:
            read(session)
        assert {"shop/1": "down"} == caught.value.states
    databases.dispose()


def test_promotion(on_own_postgresql: Pair[Streaming]) -> None:
    """What was promoted is no replica any more, whether somebody reads with a position or without."""
    servers, databases = on_own_postgresql.servers, declare(on_own_postgresql)
    with Session(databases) as session:
        with_counter(session)
        stale_reads(session, 5)
        servers.promote()
        assert 0 == stale_reads(session, 50)
        until(lambda: read(session) == 55 and state(databases) == "promoted")
        assert 0 == stale_reads(session, 5)
    databases.dispose()


def test_promotion_that_loses(on_own_postgresql: Pair[Streaming]) -> None:
    """A position of the primary that is gone is not believed, whatever has been written since."""
    servers, databases = on_own_postgresql.servers, declare(on_own_postgresql)
    with Session(databases) as session:
        with_counter(session)
        servers.wait()
        servers.replica.stop()
        write(session)
        lost = session.position
    databases.dispose()
    servers.primary.kill()
    servers.replica.start()
    servers.promote()
    promoted: Any = servers.replica
    until(lambda: not in_recovery(promoted))
    second = Streaming(promoted, start_standby(promoted))
    try:
        databases = declare(Pair(second, promoted.url(on_own_postgresql.url.database or "")))
        with Session(databases) as session:
            while session.position.get("shop") is None or lsn(session.position) < lsn(lost):
                with second.primary.connect() as connection:
                    connection.exec_driver_sql("SELECT pg_switch_wal()")
                write(session)
            second.wait()
            now = read(session, after=session.position)
            assert {"replica": 1} == served(databases)
            assert now == read(session, after=lost)  # not the lost row, which nobody has: what the primary has
        assert {"replica": 1, "not replayed": 1} == served(databases)
        databases.dispose()
    finally:
        second.replica.close()


def in_recovery(server: Any) -> bool:
    with server.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one())


def lsn(position: Position) -> int:
    return int(str(position).rpartition(".")[2], 16)


def test_replica_of_another_primary(on_postgresql: Pair[Streaming], on_own_postgresql: Pair[Streaming]) -> None:
    """It never serves a position, and is out once it is looked at."""
    stranger = on_own_postgresql.servers.url_on_replica(on_postgresql.url.set(database="postgres"))
    databases = declare(on_postgresql, replicas=[stranger])
    with Session(databases) as session:
        with_counter(session)
        assert 0 == stale_reads(session, 3)
        assert "stranger" == state(databases)
        assert 3 == read(session)
    databases.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2"])
def test_background_task(on_postgresql: Pair[Streaming], driver: str) -> None:
    """It notices what becomes of a replica though nobody reads, in threads where no driver is async."""
    url, on_replica = (
        each.set(drivername=f"postgresql+{driver}") for each in (on_postgresql.url, on_postgresql.url_on_replica)
    )
    databases = Databases(Database("shop", url, models=Base, replicas=[on_replica]))

    async def body() -> list[str]:
        found = []
        async with watching(databases, every=0.05):
            for change in (lambda: None, on_postgresql.servers.replica.kill, on_postgresql.servers.replica.start):
                before = state(databases)
                await asyncio.to_thread(change)
                async with asyncio.timeout(10):
                    while state(databases) == before:
                        await asyncio.sleep(0.01)
                found.append(state(databases))
        assert [] == [each.get_name() for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        return found

    assert ["ok", "down", "ok"] == asyncio.run(body())


def test_engine_of_the_users(on_postgresql: Pair[Streaming]) -> None:
    """A replica may be an engine: it stays as it is, and a session reads only there all the same."""
    engine = create_engine(on_postgresql.url_on_replica.set(drivername="postgresql+psycopg"))
    databases = declare(on_postgresql, replicas=[Replica(engine=engine)])
    with Session(databases) as session:
        with_counter(session)
        on_postgresql.servers.wait()
        assert 1 == write(session) == read(session, after=session.position)
        with Session(databases, role="replica") as reading:
            assert "on" == reading.scalar(text("SHOW transaction_read_only"))
            assert engine is reading.connection().engine
    databases.dispose()
    assert 1 == engine.pool.checkedin()  # type: ignore[attr-defined]
    engine.dispose()
