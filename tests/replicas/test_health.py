"""What health, `manybase status` and the doctor tell of replicas."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine

from manybase import Database, Databases, Session
from manybase.cli.states import status
from manybase.doctor import Finding, adiagnose, diagnose
from manybase.health import Health
from manybase.replica_health import ReplicaHealth
from tests.replicas.counters import (
    DRIVERS,
    Base,
    Driver,
    Pair,
    both_kinds,
    declare,
    read,
    served,
    stale_reads,
    with_counter,
)
from tests.revisions import write_history
from tests.servers.replicated import Replicated, Streaming, paused
from tests.sessions import Sync

pytestmark = pytest.mark.server


def healths(databases: Databases) -> tuple[str, ReplicaHealth]:
    async def ask() -> tuple[str, ReplicaHealth]:
        found = await Health(databases, timeout=5).check("shop")
        return found.status, found.replicas[0]

    return asyncio.run(ask())


@both_kinds
def test_health(pair: Pair[Replicated], driver: Driver) -> None:
    """It tells the state and the lag of each replica; one that serves nobody is a warning."""
    databases = declare(pair, driver)

    fine = healths(databases)
    with paused(pair.servers):
        standing = healths(databases)

    assert ("ok", "shop/1", "replica", "ok", 0) == (fine[0], *described(fine[1]))
    assert ("warn", "shop/1", "replica", "paused", 0) == (standing[0], *described(standing[1]))


def described(each: ReplicaHealth) -> tuple[str, str | None, str, int]:
    return each.replica, each.role, each.state, each.served


def test_replica_that_does_not_answer(on_postgresql: Pair[Streaming]) -> None:
    """It is down; its database is not."""
    databases = declare(on_postgresql)
    on_postgresql.servers.replica.kill()

    found = healths(databases)

    assert ("warn", "down") == (found[0], found[1].state)


@both_kinds
def test_status(pair: Pair[Replicated], driver: Driver, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command line shows role, state and lag of each replica."""
    write_history(tmp_path / "shop", "first")
    databases = declare(pair, driver, migrations=tmp_path / "shop")

    answer = status(databases, None, quick=True, jobs=1)
    answer.tell()

    (database,) = json.loads(json.dumps(answer.document, default=str))["databases"]
    assert ["shop/1", "replica", "ok"] == [database["replicas"][0][key] for key in ("replica", "role", "state")]
    assert "shop/1" in capsys.readouterr().out
    databases.dispose()


def about_replicas(databases: Databases, driver: Driver) -> list[tuple[str, str]]:
    found: list[Finding] = asyncio.run(adiagnose(databases)) if driver.kind.asyncio else diagnose(databases)
    return [(each.level, each.message) for each in found if each.topic == "replica"]


@both_kinds
def test_doctor(pair: Pair[Replicated], driver: Driver) -> None:
    """It says that a replica is one, of this primary; and that a primary is none."""
    name = f"{pair.backend}+{driver.names[pair.backend]}"
    urls = [each.set(drivername=name) for each in (pair.url_on_replica, pair.url)]
    databases = declare(pair, driver, replicas=urls)

    (first, second) = about_replicas(databases, driver)

    assert ("ok", True) == (first[0], "shop/1 is a replica of this primary" in first[1])
    assert ("fail", True) == (second[0], "shop/2 is no replica" in second[1])


def test_doctor_of_another_primary(on_postgresql: Pair[Streaming], on_own_postgresql: Pair[Streaming]) -> None:
    """A replica of somebody else is said to be one."""
    stranger = on_own_postgresql.servers.url_on_replica(on_postgresql.url.set(database="postgres"))
    databases = declare(on_postgresql, replicas=[stranger])

    assert ["fail"] == [each.level for each in diagnose(databases) if "of another primary" in each.message]


@pytest.fixture
def as_nobody(on_postgresql: Pair[Streaming]) -> Iterator[Callable[[URL], URL]]:
    """The URL for a user without any privilege but to connect."""
    admin = create_engine(
        on_postgresql.url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE nobody_special LOGIN PASSWORD 'pw'")
        connection.exec_driver_sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO nobody_special")
    on_postgresql.servers.wait()
    yield lambda url: url.set(username="nobody_special", password="pw")
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP OWNED BY nobody_special")
        connection.exec_driver_sql("DROP ROLE nobody_special")


def test_user_who_may_not_ask(on_postgresql: Pair[Streaming], as_nobody: Callable[[URL], URL]) -> None:
    """No position is believed, so the primary serves; the doctor says what to grant. Others read from the replica."""
    urls = [as_nobody(each) for each in (on_postgresql.url, on_postgresql.url_on_replica)]
    databases = Databases(Database("shop", urls[0], models=Base, replicas=urls[1:]))

    def body(session: Session) -> None:
        with_counter(session)
        assert 0 == stale_reads(session, 5)
        assert {"not replayed": 5} == served(databases)
        read(session)
        assert {"not replayed": 5, "replica": 1} == served(databases)

    Sync().run(databases, body)
    assert any("Grant pg_read_all_stats" in message for _, message in about_replicas(databases, DRIVERS[0]))
