"""Servers that end connections or statements while a session commits: what it is told is what the databases hold."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from manybase import InDoubtError, NotCommitted, Session
from manybase.testing import fail_at
from tests.atomic.conftest import Prepare
from tests.atomic.recovering import ask, at, count, do, prepared, recover
from tests.atomic.topologies import MIXED, MY, PG, TWO, XA, Point, Topology
from tests.atomic.torture import both_kinds
from tests.ledgers import write
from tests.servers.killing import SLOW_COMMIT
from tests.servers.mixed import Drivers, every_driver

pytestmark = pytest.mark.once

every_company = pytest.mark.parametrize("topology", [TWO, MIXED, XA], ids=str)


def pid_of(session: Session, name: str) -> int:
    connection = session.connection(bind_arguments={"database": name})
    backend = connection.dialect.name == "postgresql"
    pid: int = connection.exec_driver_sql(
        "SELECT pg_backend_pid()" if backend else "SELECT connection_id()"
    ).scalar_one()
    return pid


def end_connection(url: URL, pid: int) -> None:
    """As an administrator does, and until it is gone."""
    if url.get_backend_name() == "postgresql":
        ask(url, f"SELECT pg_terminate_backend({pid}, 5000)")
        return

    def kill(connection: Connection) -> None:
        connection.exec_driver_sql(f"KILL {pid}")
        alive = text("SELECT count(*) FROM information_schema.processlist WHERE id = :pid")
        while connection.scalar(alive, {"pid": pid}):
            pass

    at(url, kill)


def make_slow(url: URL) -> None:
    """PREPARE and COMMIT take a minute."""

    def slow(connection: Connection) -> None:
        for statement in SLOW_COMMIT:
            connection.exec_driver_sql(statement)

    at(url, slow)


@both_kinds
@every_company
def test_connection_that_is_ended_at_each_step(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """Success means everywhere, an error nowhere, whoever's connection it is and whenever it ends."""
    commit = commit_over(topology, drivers)
    points: list[Point] = [
        ("begun", None),
        ("all prepared", None),
        ("deciding", topology.coordinator),
        ("committed", None),
        *(("finishing", name) for name in topology.others),
        ("all finished", None),
    ]

    def body(session: Session) -> dict[Any, Any]:
        ended = {}
        for step, database in points:
            for victim in topology.names:
                before = count(commit.urls)
                write(session, *topology.names)
                end = partial(end_connection, commit.urls[victim], pid_of(session, victim))
                with fail_at(step, database, error=end, times=1):
                    told = outcome(session)
                if prepared(commit.urls, commit.app):
                    recover(session.databases, asyncio=commit.asyncio)
                renew(session)
                after = count(commit.urls)
                ended[step, database, victim] = told, {name: after[name] - before[name] for name in after}
        return ended

    ended = drivers.kind.run(commit.declare(), body)

    assert [] == prepared(commit.urls, commit.app)
    for point, (told, added) in ended.items():
        assert (point, dict.fromkeys(topology.names, int(told == "success"))) == (point, added)
    late = {point: told for point, (told, _) in ended.items() if point[0] in ("committed", "finishing", "all finished")}
    assert dict.fromkeys(late, "success") == late
    early = {point: told for point, (told, _) in ended.items() if point[0] == "begun"}
    assert dict.fromkeys(early, "NotCommitted") == early


def renew(session: Session) -> None:
    """A pool may have got back a connection that is no more, and tells whoever uses it next."""
    for name in session.databases.names:
        with suppress(DBAPIError):
            pid_of(session, name)
        session.close()


def outcome(session: Session) -> str:
    try:
        session.commit()
    except (NotCommitted, DBAPIError) as error:
        session.close()
        return type(error).__name__
    return "success"


@every_driver
@pytest.mark.parametrize("slow", TWO.names)
def test_statement_that_is_cancelled(commit_over: Prepare, drivers: Drivers, slow: str) -> None:
    """In PREPARE and in the COMMIT that decides: nothing anywhere, nothing left, and the connection stays good.

    (statement_timeout ends neither: PostgreSQL switches it off before it runs what is deferred.)
    """
    commit = commit_over(TWO, drivers)
    make_slow(commit.urls[slow])

    def body(session: Session) -> Any:
        write(session, *TWO.names)
        pid = pid_of(session, slow)
        with meanwhile(partial(cancel_when_committing, commit.urls[slow], pid)), pytest.raises(NotCommitted) as caught:
            session.commit()
        session.close()
        do(commit.urls[slow], "DROP TRIGGER slow ON entries")
        write(session, *TWO.names)
        session.commit()
        assert pid == pid_of(session, slow)
        return caught.value

    error = drivers.kind.run(commit.declare(), body)

    assert (slow,) == error.databases
    assert ({"first": 1, "second": 1}, []) == (count(commit.urls), prepared(commit.urls, commit.app))


def cancel_when_committing(url: URL, pid: int) -> None:
    committing = f"SELECT state = 'active' AND query ~ 'PREPARE|COMMIT' FROM pg_stat_activity WHERE pid = {pid}"
    while ask(url, committing) != [(True,)]:
        pass
    ask(url, f"SELECT pg_cancel_backend({pid})")


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


@every_driver
@pytest.mark.parametrize("slow", TWO.names)
def test_server_that_does_not_answer_in_time(commit_over: Prepare, drivers: Drivers, slow: str) -> None:
    """The one that decides leaves a doubt, another one an error; both are nowhere, once it has let go.

    Under asyncio drivers cancel what nobody waits for any more: asyncpg always, so that there is no doubt, psycopg
    where the server is quick enough.
    """
    doubtful = slow == "first" and drivers.postgresql != "asyncpg"
    told = {InDoubtError} if doubtful else {NotCommitted}
    if drivers.kind.asyncio and drivers.postgresql == "psycopg":
        told.add(NotCommitted)
    commit = commit_over(TWO, drivers)
    make_slow(commit.urls[slow])
    databases = commit.declare(commit_timeout=1)

    def body(session: Session) -> None:
        write(session, *TWO.names)
        pid = pid_of(session, slow)
        with pytest.raises((InDoubtError, NotCommitted)) as caught:
            session.commit()
        assert caught.type in told
        session.close()
        end_connection(commit.urls[slow], pid)
        recover(databases, asyncio=commit.asyncio)

    drivers.kind.run(databases, body)

    assert ({"first": 0, "second": 0}, []) == (count(commit.urls), prepared(commit.urls, commit.app))


@every_driver
@pytest.mark.parametrize("topology", [Topology((PG, PG, PG), "first"), Topology((MY, MY, PG), "first")], ids=str)
def test_second_phase_that_fails_at_every_participant(
    commit_over: Prepare, topology: Topology, drivers: Drivers
) -> None:
    """It is a success, nobody is rolled back, and recovery finishes it; the decision is kept until then."""
    commit = commit_over(topology, drivers)

    def body(session: Session) -> list[str]:
        write(session, *topology.names)
        with fail_at("finishing"):
            session.commit()
        left = prepared(commit.urls, commit.app)
        report = recover(session.databases, asyncio=commit.asyncio)
        assert {"committed"} == {each.ended for each in report.resolutions}
        return left

    left = drivers.kind.run(commit.declare(), body)

    assert len(topology.others) == len(left)
    assert dict.fromkeys(topology.names, 1) == count(commit.urls)
