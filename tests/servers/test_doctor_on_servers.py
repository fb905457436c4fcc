"""What the doctor finds on servers, through every kind of driver."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from sqlalchemy import URL

from manybase import Database, Databases, Session
from manybase.doctor import Finding, adiagnose, diagnose
from manybase.recovering import recovering
from manybase.testing import fail_at
from tests.ledgers import ledgers, write
from tests.servers.mixed import Drivers, Urls, every_driver
from tests.servers.server import PASSWORD, Server

Find = Callable[..., list[Finding]]


@pytest.fixture
def find(postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> Find:
    """The findings about these backends, called first, second, third."""
    given = {"postgresql": postgresql_url, "mariadb": mariadb_url, "sqlite": sqlite_url}

    def look(drivers: Drivers, *backends: str) -> list[Finding]:
        urls = Urls(drivers, given)
        databases = ledgers({name: urls[each] for name, each in zip(("first", "second"), backends, strict=False)})
        return examine(drivers, databases)

    return look


def examine(drivers: Drivers, databases: Databases) -> list[Finding]:
    return asyncio.run(adiagnose(databases)) if drivers.kind.asyncio else diagnose(databases)


def about(findings: list[Finding], topic: str) -> list[tuple[str | None, str]]:
    assert PASSWORD not in repr(findings)
    return [(each.database, each.level) for each in findings if each.topic == topic]


@every_driver
def test_all_is_well(find: Find, drivers: Drivers) -> None:
    """Both can keep decisions, MariaDB decides; nobody is behind a pooler, wrong in time, or could not be asked."""
    findings = find(drivers, "postgresql", "mariadb")

    assert [("first", "ok"), ("second", "ok")] == about(findings, "decisions")
    assert [("second", "ok")] == about(findings, "coordinator")
    assert not {"pooler", "clock", "in doubt", "prepare", "replica", "tables"} & {each.topic for each in findings}


@every_driver
def test_file_that_decides(find: Find, drivers: Drivers, sqlite_url: URL) -> None:
    """It is said that only its own machine can recover."""
    open(str(sqlite_url.database), "w").close()

    assert [("second", "warn")] == about(find(drivers, "postgresql", "sqlite"), "coordinator")


@every_driver
def test_commits_that_a_crash_loses(find: Find, drivers: Drivers, postgresql: Server, postgresql_url: URL) -> None:
    """A decision may be lost: that is broken."""
    with postgresql.connect() as connection:
        connection.exec_driver_sql("ALTER DATABASE " + str(postgresql_url.database) + " SET synchronous_commit = off")

    assert ("first", "fail") in about(find(drivers, "postgresql", "mariadb"), "durability")


@every_driver
def test_table_without_transactions(find: Find, drivers: Drivers, mariadb: Server, mariadb_url: URL) -> None:
    """It is named."""
    with mariadb.connect(mariadb_url.database) as connection:
        connection.exec_driver_sql("CREATE TABLE notes (id int) ENGINE=MyISAM")

    findings = find(drivers, "postgresql", "mariadb")

    assert [("second", "warn")] == about(findings, "tables")
    assert "Tables without transactions: notes." in next(each.message for each in findings if each.topic == "tables")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("other", ["postgresql", "mariadb"])
def test_user_without_rights(
    postgresql: Server,
    postgresql_url: URL,
    mariadb_url: URL,
    create_database: Callable[[Server], URL],
    driver: str,
    other: str,
) -> None:
    """What is missing, and the statements for an administrator; only a warning where it never decides."""
    user = f"reader_{str(postgresql_url.database)[-8:]}"
    beside = create_database(postgresql) if other == "postgresql" else mariadb_url.set(drivername="mysql+pymysql")
    with postgresql.connect(postgresql_url.database) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        restricted = postgresql_url.set(username=user, password=PASSWORD, drivername=f"postgresql+{driver}")
        try:
            findings = diagnose(Databases(Database("first", restricted), Database("second", beside)))
        finally:
            connection.exec_driver_sql(f"DROP ROLE {user}")

    (decisions,) = [each for each in findings if each.topic == "decisions" and each.database == "first"]
    assert ("fail" if other == "postgresql" else "warn") == decisions.level
    assert "this user may not create its schema" in decisions.message
    assert "CREATE TABLE IF NOT EXISTS manybase.manybase_decision" in decisions.message


@pytest.mark.parametrize("age", ["old", "young"])
def test_transaction_in_doubt(postgresql_url: URL, mariadb_url: URL, monkeypatch: pytest.MonkeyPatch, age: str) -> None:
    """It is told when recovery should have ended it already."""
    databases = ledgers(
        {
            "first": postgresql_url.set(drivername="postgresql+psycopg"),
            "second": mariadb_url.set(drivername="mysql+pymysql"),
        }
    )
    databases.create_all()
    with Session(databases) as session:
        write(session, "first", "second")
        with fail_at("finishing"):
            session.commit()
    if age == "old":
        monkeypatch.setattr("manybase.doctor.facts.OLD", 0)

    assert ([("first", "warn")] if age == "old" else []) == about(diagnose(databases), "in doubt")
    databases.dispose()


@every_driver
def test_pooler_in_transaction_mode(find: Find, drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections that meet in one server process: what works and what breaks is told."""
    monkeypatch.setattr("manybase.doctor.postgresql.backend_in_transaction", lambda _: 1)
    monkeypatch.setattr("manybase.doctor.postgresql.backend", lambda _: 1)

    assert [("first", "warn")] == about(find(drivers, "postgresql", "mariadb"), "pooler")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_log_of_an_application(
    postgresql_url: URL, sqlite_url: URL, caplog: pytest.LogCaptureFixture, driver: str
) -> None:
    """What is wrong is logged once, soon after the start, and in its own time."""
    caplog.set_level(logging.INFO, "manybase")
    open(str(sqlite_url.database), "w").close()
    databases = Databases(
        Database("first", postgresql_url.set(drivername=f"postgresql+{driver}")), Database("second", sqlite_url)
    )

    def warnings() -> list[str]:
        return [each for each in caplog.messages if each.startswith("second, coordinator: It decides")]

    async def run() -> None:
        async with recovering(databases, every=0.05):
            assert not caplog.messages
            deadline = time.monotonic() + 20
            while not warnings() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
        await asyncio.sleep(0.2)  # for the thread of a connection to the file that was being opened just then

    asyncio.run(run())

    assert 1 == len(warnings())
    assert PASSWORD not in caplog.text
