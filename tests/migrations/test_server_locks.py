"""The locks of servers: their names, who sees their holders, and what comes between a session and its lock."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine

from manybase.errors import MigrationFailed, MigrationLocked
from manybase.migrations.locks import STATEMENTS, UPGRADE, Wait, acquire, guard, holder, lock
from manybase.migrations.server_locks import MySQLLock, PostgreSQLLock, server_lock
from tests.migrations.lockers import Place, places, wait_until
from tests.servers.mixed import DRIVERS
from tests.servers.server import Server

NOBODY_WAITS = Wait("shop", timeout=0, asyncio=False)
LOCKS = [(UPGRADE, ""), (UPGRADE, "acme"), (STATEMENTS, ""), (STATEMENTS, "acme")]
MINE = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
RUNS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE pid = {}",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE id = {}",
}
with_psycopg_and_pymysql = places("postgresql", "mariadb", drivers=DRIVERS[:1])


@pytest.fixture
def plain_role(postgresql: Server) -> Iterator[str]:
    """A role that may not see what the sessions of others do."""
    name = f"manybase_plain_{uuid4().hex[:8]}"
    with postgresql.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name}")
        yield name
        connection.exec_driver_sql(f"DROP ROLE {name}")


def test_the_names_on_postgresql(postgresql: Server) -> None:
    """They never change: an older release must find the lock of a newer one."""
    with postgresql.connect() as connection:
        found = [server_lock(connection, *names) for names in LOCKS]

    keys = (3596146119378270321, 8718903516715251853, -2811979186103119675, 4785055840268783318)
    assert [PostgreSQLLock(key) for key in keys] == found


def test_the_names_on_mariadb(mariadb: Server) -> None:
    """They never change either, and are of the database, since the server has them all in one place."""
    with mariadb.connect("information_schema") as connection:
        found = [server_lock(connection, *names) for names in LOCKS]

    names = (
        "4ee49c1f9b98d98033aef9d2754d284a76dafa37d5bc4dac",
        "57543cfef0ecbddfa35694c05800416d4e6323586739bd95",
        "5af56f19858a3b9c115c952227a44ea6953569e6d70585ac",
        "be6acb7f7eeaf89de80d3cb3c562c5bbe23af7b8bf8583fd",
    )
    assert [MySQLLock(f"manybase.{name}") for name in names] == found


@with_psycopg_and_pymysql
def test_two_names_of_one_database(place: Place) -> None:
    """It is the database that is locked, whatever a program calls it."""

    def body(engine: Engine) -> None:
        with lock(engine, "shop", timeout=0), engine.connect() as connection:
            with pytest.raises(MigrationLocked), lock(engine, "other", timeout=0):
                raise AssertionError("two have it")
            guard(connection, "shop", timeout=0)
            with engine.connect() as other, pytest.raises(MigrationLocked):
                guard(other, "other", timeout=0)

    place.run(body)


def test_a_holder_that_may_not_be_seen(postgresql_url: URL, plain_role: str) -> None:
    """Without the right to know more, it is the number of its session."""
    engine = Place(postgresql_url, asyncio=False).aside()

    with lock(engine, "shop", timeout=0), engine.connect() as connection:
        everything = holder(connection)
        connection.exec_driver_sql(f"SET ROLE {plain_role}")
        number = holder(connection)

    assert str(number).startswith("backend ")
    assert str(everything).startswith(f"{number} from ")


@with_psycopg_and_pymysql
def test_two_programs_with_one_session(place: Place) -> None:
    """A pooler that gives a session to several programs in turns is found out: the server would let both in."""

    def body(engine: Engine) -> list[str]:
        with engine.connect() as connection:
            return [refusal(server_lock(connection, *names), connection) for names in LOCKS]

    def refusal(one: PostgreSQLLock | MySQLLock, connection: Connection) -> str:
        acquire(one, connection, NOBODY_WAITS)
        with pytest.raises(MigrationFailed) as caught:
            acquire(one, connection, NOBODY_WAITS)
        return str(caught.value)

    assert [True] * 4 == ["such as PgBouncer in transaction mode" in message for message in place.run(body)]


@with_psycopg_and_pymysql
def test_a_session_that_changes_on_the_way(place: Place) -> None:
    """So is one that runs the next statement in another session."""

    def body(engine: Engine) -> None:
        with engine.connect() as connection, engine.connect() as another:
            one = server_lock(connection, UPGRADE, "")
            with pytest.raises(MigrationFailed, match="PgBouncer"):
                acquire(Elsewhere(one, another), connection, NOBODY_WAITS)

    place.run(body)


class Elsewhere:
    """A lock that is taken in another session than the one that asked for it."""

    def __init__(self, lock: PostgreSQLLock | MySQLLock, another: Connection) -> None:
        self.is_mine, self.holder, self.give = lock.is_mine, lock.holder, lock.give
        self.take = lambda _: lock.take(another)


@with_psycopg_and_pymysql
def test_the_server_ends_idle_sessions(place: Place) -> None:
    """Not those with a lock, for as long as the upgrade takes."""
    engine = impatient(place)

    with lock(engine, "shop", timeout=0), engine.connect() as guarded, engine.connect() as idle:
        guard(guarded, "shop", timeout=0)
        number = idle.exec_driver_sql(MINE[place.backend]).scalar_one()
        wait_until(lambda: not runs(place, number))
        idle.invalidate()

        assert 1 == guarded.exec_driver_sql("SELECT 1").scalar_one()


def impatient(place: Place) -> Engine:
    """Its sessions are ended after a second without work."""
    if place.backend == "postgresql":
        with place.aside().connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {place.url.database} SET idle_session_timeout = '1s'")
        return place.aside()
    arguments = {"init_command": "SET SESSION wait_timeout = 1"}
    return create_engine(place.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)


def runs(place: Place, number: int) -> bool:
    with place.aside().connect() as connection:
        return bool(connection.exec_driver_sql(RUNS[place.backend].format(number)).scalar_one())
