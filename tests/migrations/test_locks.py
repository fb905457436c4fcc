"""One upgrade of a database at a time: every driver, on real servers and files."""

import asyncio
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.util import await_only

from manybase.errors import MigrationFailed, MigrationLocked
from manybase.migrations.locks import guard, holder, lock
from manybase.sharing import send
from tests.atomic.torture import TORTURE
from tests.migrations.lockers import Place, hold, hold_and_work, in_child, is_busy, places, wait_until
from tests.servers.mixed import DRIVERS
from tests.servers.server import PASSWORD, Server

pytestmark = pytest.mark.once

every_place = places("postgresql", "mariadb", "sqlite")
every_server = places("postgresql", "mariadb")
FEW = DRIVERS if TORTURE else (DRIVERS[0], DRIVERS[2])  # what takes seconds for each
some_places = places("postgresql", "mariadb", "sqlite", drivers=FEW)
some_servers = places("postgresql", "mariadb", drivers=FEW)
HOLDER = r"(backend|connection|pid) \d+ (from|on) \S+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def is_free(engine: Engine, scope: str = "") -> bool:
    try:
        with lock(engine, "shop", timeout=0, scope=scope):
            return True
    except MigrationLocked:
        return False


def seen(engine: Engine, scope: str = "") -> str | None:
    with engine.connect() as connection:
        return holder(connection, scope)


@every_place
def test_one_at_a_time(place: Place) -> None:
    """Whoever comes second does not get in, and does when the first has left."""

    def body(engine: Engine) -> tuple[bool, bool]:
        with lock(engine, "shop", timeout=0):
            inside = is_free(engine)
        return inside, is_free(engine)

    assert (False, True) == place.run(body)


def without_time(holder: str | None) -> str:
    """MariaDB counts whole seconds, from a moment that it rounds each time."""
    return str(holder).partition(" since ")[0]


@every_place
def test_it_gives_up_and_names_the_holder(place: Place) -> None:
    """After the timeout an error tells who has the lock, and no secret."""

    def body(engine: Engine) -> tuple[str | None, MigrationLocked]:
        with lock(engine, "shop", timeout=0):
            with pytest.raises(MigrationLocked) as caught, lock(engine, "shop", timeout=0.5):
                raise AssertionError("two have it")
            return seen(engine), caught.value

    known, error = place.run(body)

    assert ("shop", 0.5) == (error.database, error.seconds)
    assert re.fullmatch(HOLDER, str(known))
    assert without_time(known) == without_time(error.holder)
    assert PASSWORD not in str(error)


@every_place
def test_an_error_in_the_block_frees_it(place: Place) -> None:
    """The error passes as it is, and the next one gets the lock."""

    def body(engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError), lock(engine, "shop", timeout=0):
            raise ZeroDivisionError
        with lock(engine, "shop", timeout=10):
            pass

    place.run(body)


@some_places
def test_the_lock_of_a_killed_process_is_free(place: Place) -> None:
    """We wait, are told once for whom, and get the lock when that process is killed."""
    told: list[str] = []

    def body(engine: Engine) -> None:
        with lock(engine, "shop", timeout=30, waiting=lambda by: (told.append(by), child.kill())):
            pass

    with in_child(hold, place) as child:
        place.run(body)

    assert [True] == [bool(re.fullmatch(HOLDER, by)) for by in told]
    assert place.backend != "sqlite" or told[0].startswith(f"pid {child.pid} on {socket.gethostname()} ")


@some_servers
def test_the_statement_of_a_killed_process_is_waited_for(place: Place) -> None:
    """The lock of the upgrade is free at once, that of the statements when the last of them has ended."""

    def body(engine: Engine) -> tuple[bool, bool, str | None]:
        with engine.connect() as connection:
            wait_until(lambda: is_busy(connection))
            child.kill()
            with lock(engine, "shop", timeout=3):
                at_first = is_busy(connection)
                with pytest.raises(MigrationLocked) as caught:
                    guard(connection, "shop", timeout=0)
                guard(connection, "shop", timeout=30)
                return at_first, is_busy(connection), caught.value.holder

    with in_child(hold_and_work, place) as child:
        at_first, afterwards, named = place.run(body)

    assert (True, False) == (at_first, afterwards)
    assert re.fullmatch(HOLDER, str(named))


@every_place
def test_nobody_waits_for_a_lock_that_is_free(place: Place) -> None:
    """Nobody is told of a wait, and nobody has it before and after."""
    told: list[str] = []

    def body(engine: Engine) -> tuple[str | None, bool, str | None]:
        before = seen(engine)
        with lock(engine, "shop", timeout=5, waiting=told.append):
            inside = seen(engine)
        return before, inside is not None, seen(engine)

    assert (None, True, None) == place.run(body)
    assert [] == told


@every_server
def test_the_holder_of_statements(place: Place) -> None:
    """Where only statements are still running, the holder is the connection that runs them."""

    def body(engine: Engine) -> tuple[str | None, str | None]:
        with engine.connect() as connection:
            guard(connection, "shop", timeout=0)
            inside = seen(engine)
        wait_until(lambda: seen(engine) is None)
        return inside, seen(engine)

    named, afterwards = place.run(body)

    assert re.fullmatch(HOLDER, str(named))
    assert afterwards is None


@every_place
def test_asking_for_the_holder_takes_nothing(place: Place) -> None:
    """The lock is free while somebody asks, and no transaction is left."""

    def body(engine: Engine) -> tuple[str | None, bool, bool]:
        with engine.connect() as connection:
            return holder(connection), connection.in_transaction(), is_free(engine)

    assert (None, False, True) == place.run(body)


@every_place
def test_a_scope_has_a_lock_of_its_own(place: Place) -> None:
    """Two scopes of one database do not disturb each other, nor the database as a whole."""

    def body(engine: Engine) -> tuple[list[bool], list[bool]]:
        with lock(engine, "shop", timeout=0, scope="acme"):
            scopes = ("", "acme", "../other")
            return [is_free(engine, scope) for scope in scopes], [seen(engine, scope) is None for scope in scopes]

    assert ([True, False, True], [True, False, True]) == place.run(body)


@every_server
def test_a_scope_has_a_guard_of_its_own(place: Place) -> None:
    """One connection can guard several scopes, and others guard the rest."""

    def body(engine: Engine) -> None:
        with engine.connect() as first, engine.connect() as second:
            guard(first, "shop", timeout=0)
            guard(first, "shop", timeout=0, scope="acme")
            guard(second, "shop", timeout=0, scope="other")
            for scope in ("", "acme"):
                with pytest.raises(MigrationLocked):
                    guard(second, "shop", timeout=0, scope=scope)

    place.run(body)


@every_server
def test_two_databases_of_a_server(
    place: Place, create_database: Callable[[Server], URL], request: pytest.FixtureRequest
) -> None:
    """They are locked one beside the other."""
    server = request.getfixturevalue("postgresql" if place.backend == "postgresql" else "mariadb")
    other = replace(place, url=place.url.set(database=create_database(server).database))

    def body(engine: Engine) -> tuple[bool, bool]:
        with lock(engine, "shop", timeout=0), engine.connect() as connection:
            guard(connection, "shop", timeout=0)
            beside = other.aside()
            with beside.connect() as there:
                guard(there, "other", timeout=0)
                return is_free(beside), is_free(engine)

    assert (True, False) == place.run(body)


@every_server
def test_a_guard_leaves_no_transaction(place: Place) -> None:
    """Neither SQLAlchemy nor the driver is in a transaction afterwards, and the connection has the lock."""

    def body(engine: Engine) -> tuple[bool, bool, bool]:
        with place.transactional().connect() as connection:
            guard(connection, "shop", timeout=0)
            begun = connection.in_transaction()
            with engine.connect() as other, pytest.raises(MigrationLocked):
                guard(other, "shop", timeout=0)
            return begun, server_is_in_transaction(connection), connection.in_transaction()

    assert (False, False, False) == place.run(body)


def server_is_in_transaction(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        driver = connection.connection.driver_connection
        if connection.dialect.driver == "asyncpg":
            return bool(driver.is_in_transaction())  # type: ignore[union-attr]
        return bool(driver.info.transaction_status != 0)  # type: ignore[union-attr]
    return bool(send(connection, "SELECT @@in_transaction")[0][0])


@every_server
def test_a_guard_keeps_a_transaction(place: Place) -> None:
    """What was begun before goes on, and can be rolled back."""

    def body(engine: Engine) -> tuple[bool, int]:
        transactional = place.transactional()
        with transactional.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE things (id INTEGER)")
        with transactional.connect() as connection:
            connection.exec_driver_sql("INSERT INTO things VALUES (1)")
            guard(connection, "shop", timeout=0)
            goes_on = connection.in_transaction()
            connection.rollback()
            with engine.connect() as other, pytest.raises(MigrationLocked):
                guard(other, "shop", timeout=0)
            return goes_on, connection.exec_driver_sql("SELECT count(*) FROM things").scalar_one()

    assert (True, 0) == place.run(body)


@every_server
def test_a_connection_guards_once(place: Place) -> None:
    """A second call finds the lock taken, by itself; it is free when the connection closes."""

    def body(engine: Engine) -> None:
        with engine.connect() as connection:
            guard(connection, "shop", timeout=0)
            guard(connection, "shop", timeout=0)
        with engine.connect() as connection:
            guard(connection, "shop", timeout=10)

    place.run(body)


@places("postgresql")
def test_an_index_is_built_while_others_wait(place: Place) -> None:
    """CREATE INDEX CONCURRENTLY waits for every older snapshot; those who wait for the locks hold none."""
    waiting = threading.Barrier(3, timeout=30)
    failures: list[BaseException] = []

    def wait_for_lock() -> None:
        noting(lambda engine: enter(lock(engine, "shop", timeout=30, waiting=lambda _: waiting.wait() and None)))

    def wait_for_guard() -> None:
        def body(engine: Engine) -> None:
            with place.transactional().connect() as connection:
                waiting.wait()
                guard(connection, "shop", timeout=30)

        noting(body)

    def noting(body: Callable[[Engine], None]) -> None:
        try:
            place.run(body)
        except BaseException as error:
            failures.append(error)

    def build(engine: Engine) -> None:
        with lock(engine, "shop", timeout=0), engine.connect() as connection:
            guard(connection, "shop", timeout=0)
            connection.exec_driver_sql("CREATE TABLE things (id INTEGER)")
            for thread in threads:
                thread.start()
            waiting.wait()
            connection.exec_driver_sql("SET statement_timeout = '10s'")
            for number in range(5):
                connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY things_{number} ON things (id)")

    threads = [threading.Thread(target=target) for target in (wait_for_lock, wait_for_guard)]
    place.run(build)
    for thread in threads:
        thread.join(30)

    assert [] == failures


def enter(context: object) -> None:
    with context:  # type: ignore[attr-defined]
        pass


@places("postgresql", "mariadb", "sqlite", drivers=[drivers for drivers in DRIVERS if drivers.kind.asyncio])
def test_a_cancelled_waiter_leaves_nothing(place: Place) -> None:
    """Its connection is closed, and it does not have the lock later."""

    async def main() -> None:
        waits = asyncio.Event()

        def wait(engine: Engine) -> None:
            with lock(engine, "shop", timeout=30, waiting=lambda _: waits.set()):
                raise AssertionError("two have it")

        async def cancelled() -> None:
            task = asyncio.create_task(place.spawn(wait))
            await waits.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        def hold(engine: Engine) -> None:
            with lock(engine, "shop", timeout=0):
                await_only(cancelled())

        await place.spawn(hold)
        assert await place.spawn(is_free)
        if place.backend != "sqlite":
            await place.spawn(lambda engine: wait_until(lambda: is_alone(engine)))

    asyncio.run(main())


def is_alone(engine: Engine) -> bool:
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        else:
            sql = "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE()"
        return bool(connection.exec_driver_sql(sql).scalar_one() == 1)


@every_server
def test_a_lock_that_was_lost(place: Place) -> None:
    """An upgrade that went well says that the lock was lost, since another one may have run."""

    def body(engine: Engine) -> str:
        with pytest.raises(MigrationFailed) as caught, lock(engine, "shop", timeout=0):
            end_connection_of_lock(engine)
        return str(caught.value)

    message = place.run(body)

    assert "Its lock was lost before the upgrade ended" in message
    assert PASSWORD not in message


@every_server
def test_an_error_is_not_hidden_by_a_lock_that_was_lost(place: Place) -> None:
    """What failed first is what the caller gets."""

    def body(engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError), lock(engine, "shop", timeout=0):
            end_connection_of_lock(engine, ZeroDivisionError())

    place.run(body)


def end_connection_of_lock(engine: Engine, failure: Exception | None = None) -> None:
    number = re.findall(r"\d+", str(seen(engine)))[0]
    with engine.connect() as connection:
        end = "SELECT pg_terminate_backend({})" if connection.dialect.name == "postgresql" else "KILL {}"
        connection.exec_driver_sql(end.format(number))
        wait_until(lambda: holder(connection) is None)
    if failure is not None:
        raise failure


def test_this_process_is_named(sqlite_url: URL) -> None:
    """The file next to the SQLite file says who has it."""
    engine = Place(sqlite_url, asyncio=False).aside()

    with lock(engine, "shop", timeout=0), open(f"{sqlite_url.database}.migrating") as file:
        said = file.read()

    assert said.startswith(f"pid {os.getpid()} on {socket.gethostname()} since ")
