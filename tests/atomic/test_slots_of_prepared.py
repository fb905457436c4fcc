"""Servers that keep few transactions prepared, or none."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import URL

from manybase import AsyncSession, AtomicityError, NotCommitted, Session
from tests.atomic.recovering import ask, count, do, prepared
from tests.ledgers import NAMES, ledgers, write
from tests.servers import postgresql as starter
from tests.servers.mixed import Drivers, every_driver
from tests.servers.server import Server

FEW = 2


@pytest.fixture(scope="module")
def disabled(postgresql: Server) -> Iterator[Server]:
    """A PostgreSQL as it is delivered: it prepares nothing."""
    server = starter.start_private(max_prepared_transactions="0")
    yield server
    server.close()


@pytest.fixture(scope="module")
def narrow(postgresql: Server) -> Iterator[Server]:
    """A PostgreSQL that keeps few transactions prepared."""
    server = starter.start_private(max_prepared_transactions=str(FEW))
    yield server
    server.close()


def urls_on(drivers: Drivers, *servers: Server) -> dict[str, URL]:
    made = [server.create_database().set(drivername=f"postgresql+{drivers.postgresql}") for server in servers]
    return dict(zip(NAMES, made, strict=False))


@every_driver
def test_two_that_cannot_prepare(disabled: Server, drivers: Drivers) -> None:
    """Refused before any COMMIT; the error names both, the setting, and the way to do without."""
    urls = urls_on(drivers, disabled, disabled)

    def body(session: Session) -> AtomicityError:
        write(session, *urls)
        with pytest.raises(AtomicityError) as caught:
            session.commit()
        return caught.value

    error = drivers.kind.run(ledgers(urls), body)

    assert {"first": 0, "second": 0} == count(urls)
    assert ("first", "second") == error.databases
    for part in ("'first' has max_prepared_transactions = 0", "'second' has", "atomic=False"):
        assert part in str(error)


@every_driver
def test_one_that_cannot_prepare(disabled: Server, postgresql: Server, drivers: Drivers) -> None:
    """It decides, though declared last: the commit is atomic all the same."""
    urls = urls_on(drivers, postgresql, disabled)

    def body(session: Session) -> None:
        write(session, *urls)
        session.commit()

    drivers.kind.run(ledgers(urls), body)

    assert {"first": 1, "second": 1} == count(urls)
    assert [(1,)] == ask(urls["second"], "SELECT count(*) FROM manybase.manybase_decision WHERE outcome = 'commit'")


@every_driver
def test_slots_that_others_keep(narrow: Server, drivers: Drivers) -> None:
    """Where other programs hold all of them, nothing is committed, and the error names the setting."""
    urls = urls_on(drivers, narrow, narrow)
    for number in range(FEW):
        do(urls["first"], f"BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'of others {number}'")

    def body(session: Session) -> NotCommitted:
        write(session, *urls)
        with pytest.raises(NotCommitted) as caught:
            session.commit()
        return caught.value

    try:
        error = drivers.kind.run(ledgers(urls), body)
        assert {"first": 0, "second": 0} == count(urls)
        assert NotCommitted is type(error)
        assert "max_prepared_transactions" in str(error)
    finally:
        for number in range(FEW):
            do(urls["first"], f"ROLLBACK PREPARED 'of others {number}'")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_threads_that_need_more_slots_than_there_are(narrow: Server, driver: str) -> None:
    """They wait for each other, and all succeed."""
    urls = {name: narrow.create_database().set(drivername=f"postgresql+{driver}") for name in NAMES}
    databases = ledgers(urls, engine_options={"pool_size": 20, "max_overflow": 0}, pool_timeout=60)
    databases.create_all()

    def work(_: int) -> None:
        with Session(databases) as session:
            write(session, *NAMES)
            session.commit()

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(work, range(60)))
    databases.dispose()

    assert dict.fromkeys(NAMES, 60) == count(urls)
    assert [] == prepared(urls, "app")


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_tasks_that_need_more_slots_than_there_are(narrow: Server, driver: str) -> None:
    """They wait for each other, and all succeed."""
    urls = {name: narrow.create_database().set(drivername=f"postgresql+{driver}") for name in NAMES}
    databases = ledgers(urls, engine_options={"pool_size": 20, "max_overflow": 0}, pool_timeout=60)

    async def work() -> None:
        async with AsyncSession(databases) as session:
            await session.run_sync(write, *NAMES)
            await session.commit()

    async def main() -> None:
        await databases.acreate_all()
        await asyncio.gather(*(work() for _ in range(60)))
        await databases.adispose()

    asyncio.run(main())

    assert dict.fromkeys(NAMES, 60) == count(urls)


@every_driver
def test_waiting_for_a_slot_in_vain(narrow: Server, drivers: Drivers) -> None:
    """After `pool_timeout` nothing is committed, the error names the setting, and the session works on."""
    urls = urls_on(drivers, narrow, narrow)
    databases = ledgers(urls, pool_timeout=0.2)

    def body(session: Session) -> NotCommitted:
        write(session, *urls)
        session.commit()
        slots = databases.prepared_slots(asyncio=drivers.kind.asyncio)
        everything = dict.fromkeys(slots._capacity, FEW)
        assert slots.try_take(everything)
        write(session, *urls)
        with pytest.raises(NotCommitted) as caught:
            session.commit()
        session.close()
        slots.release(everything)
        write(session, *urls)
        session.commit()
        return caught.value

    error = drivers.kind.run(databases, body)

    assert {"first": 2, "second": 2} == count(urls)
    assert "Raise its max_prepared_transactions" in str(error)
