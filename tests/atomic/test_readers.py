"""What a commit costs: those that only read are never prepared, and one writer commits as if it were alone."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

import manybase.atomic
import manybase.twophase.mysql
import manybase.twophase.postgresql
import manybase.wire
from manybase import Session
from tests.atomic.conftest import Prepare
from tests.atomic.recovering import count, decisions, prepared
from tests.atomic.topologies import MIXED, PG, TWO, XA, Topology
from tests.ledgers import ENTRIES, write
from tests.servers.mixed import Drivers, every_driver

SECOND = {"database": "second"}
THREE = Topology((PG, PG, PG), "first")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of the protocol, as they are sent past SQLAlchemy."""
    statements: list[str] = []
    run = manybase.wire.run

    def note(connection: Any, sql: str) -> Any:
        statements.append(sql)
        return run(connection, sql)

    for module in (manybase.atomic, manybase.twophase.mysql, manybase.twophase.postgresql, manybase.wire):
        monkeypatch.setattr(module, "run", note)
    return statements


def read(session: Session, *names: str) -> None:
    for name in names:
        session.execute(select(ENTRIES[name])).all()


@every_driver
def test_readers_beside_two_writers(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """One PREPARE, of the writer that does not decide; the one that was only read is left alone."""
    commit = commit_over(THREE, drivers)

    def body(session: Session) -> None:
        read(session, "second")
        write(session, "first", "third")
        session.commit()

    drivers.kind.run(commit.declare(), body)

    (prepare,) = [sql for sql in sent if sql.startswith("PREPARE")]
    assert prepare.endswith(":third'")
    assert {"first": 1, "second": 0, "third": 1} == count(commit.urls)


@every_driver
def test_one_writer_among_readers(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """Nothing is prepared and nothing is recorded: it costs what a commit of one database costs."""
    commit = commit_over(THREE, drivers)

    def body(session: Session) -> None:
        read(session, "first", "second")
        write(session, "third")
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert ([], 0) == (sent, decisions(commit.urls, "identity"))
    assert {"first": 0, "second": 0, "third": 1} == count(commit.urls)


@every_driver
def test_writer_by_an_engine_of_the_callers_choice(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """``bind_arguments={"bind": engine}`` says where, and not that nothing is written there."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> None:
        write(session, "first")
        engine = session.databases.bind("second", asyncio=session._asyncio)
        session.execute(insert(ENTRIES["second"]), bind_arguments={"bind": engine})
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert 1 == sum(sql.startswith("PREPARE") for sql in sent)
    assert {"first": 1, "second": 1} == count(commit.urls)


@every_driver
def test_reader_by_an_engine_of_the_callers_choice(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """Its tables tell, as everywhere, that it only reads."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> None:
        engine = session.databases.bind("second", asyncio=session._asyncio)
        session.execute(select(ENTRIES["second"]), bind_arguments={"bind": engine}).all()
        write(session, "first")
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert [] == sent
    assert {"first": 1, "second": 0} == count(commit.urls)


@every_driver
def test_mariadb_that_no_other_outranks(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """With PostgreSQL only, it decides: it never needs XA."""
    commit = commit_over(MIXED, drivers)

    def body(session: Session) -> None:
        write(session, *MIXED.names)
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert [] == [sql for sql in sent if sql.startswith("XA")]
    assert 1 == sum(sql.startswith("PREPARE") for sql in sent)


@every_driver
def test_one_mariadb_alone_that_began_as_xa(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """It is committed in one phase, without PREPARE."""
    commit = commit_over(XA, drivers)

    def body(session: Session) -> None:
        write(session, "second")
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert ["START", "END", "COMMIT"] == [sql.split()[1] for sql in sent]
    assert {"first": 0, "second": 1, "third": 0} == count(commit.urls)


@every_driver
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            lambda session: session.execute(text("SELECT 1"), bind_arguments={"database": "second"}), id="text"
        ),
        pytest.param(lambda session: session.connection(bind_arguments=SECOND).exec_driver_sql("SELECT 1"), id="core"),
        pytest.param(
            lambda session: session.execute(select(func.txid_current()).select_from(ENTRIES["second"])),
            id="unknown function",
        ),
    ],
)
def test_what_is_not_proven_to_read(
    commit_over: Prepare, drivers: Drivers, sent: list[str], statement: Callable[[Session], Any]
) -> None:
    """It counts as a writer, and is prepared: it may have written."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> None:
        write(session, "first")
        statement(session)
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert 1 == sum(sql.startswith("PREPARE") for sql in sent)
    assert [] == prepared(commit.urls, commit.app)


@every_driver
def test_connection_that_nothing_was_sent_on(commit_over: Prepare, drivers: Drivers, sent: list[str]) -> None:
    """There is no transaction yet: it is neither prepared nor mistaken for one that failed."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> None:
        write(session, "first")
        session.connection(bind_arguments=SECOND)
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert ({"first": 1, "second": 0}, []) == (count(commit.urls), sent)
