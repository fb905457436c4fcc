"""What cannot be committed atomically is refused before anything is committed, and the error says what to do."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from manybase import AtomicityError, Database, Databases, NotCommitted, PartialCommitError, Session
from tests.atomic.conftest import Prepare
from tests.atomic.dying import Commit
from tests.atomic.recovering import count, do, prepared
from tests.atomic.topologies import MIXED, MY, PG, TWO, Topology
from tests.ledgers import NAMES, ledgers, write, write_what_cannot_be_committed
from tests.servers.mixed import Drivers, every_driver
from tests.servers.server import Server

NOWHERE = {"first": 0, "second": 0}
EVERYWHERE = {"first": 1, "second": 1}


def refusal(session: Session, expected: type[Exception] = AtomicityError) -> Any:
    """What the commit raises; afterwards the session commits as ever."""
    with pytest.raises(expected) as caught:
        session.commit()
    assert expected is caught.type
    session.close()
    return caught.value


def in_database(session: Session, name: str, sql: str) -> None:
    session.execute(text(sql), bind_arguments={"database": name})


@every_driver
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE passing (id int) ON COMMIT DROP",
        "NOTIFY somebody",
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    ],
)
def test_what_postgresql_does_not_prepare(commit_over: Prepare, drivers: Drivers, sql: str) -> None:
    """Nothing is left, and the error names the database and what it must not have done."""
    commit = commit_over(MIXED, drivers)

    def body(session: Session) -> str:
        write(session, *MIXED.names)
        in_database(session, "first", sql)
        error = refusal(session)
        assert (NOWHERE, [], ("first",)) == (count(commit.urls), prepared(commit.urls, commit.app), error.databases)
        write(session, *MIXED.names)
        session.commit()
        return str(error)

    message = drivers.kind.run(commit.declare(), body)

    assert EVERYWHERE == count(commit.urls)
    assert "'first': a transaction that used a temporary table, NOTIFY, a cursor WITH HOLD" in message


@every_driver
@pytest.mark.parametrize("broken", NAMES[:2])
def test_application_that_swallows_an_sql_error(commit_over: Prepare, drivers: Drivers, broken: str) -> None:
    """PostgreSQL can only roll back, calls it a success, and is not believed: nothing anywhere."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> str:
        write(session, *TWO.names)
        with pytest.raises(DBAPIError):
            in_database(session, broken, "SELECT 1/0")
        error = refusal(session, NotCommitted)
        assert (broken,) == error.databases
        return str(error)

    message = drivers.kind.run(commit.declare(), body)

    assert (NOWHERE, []) == (count(commit.urls), prepared(commit.urls, commit.app))
    assert f"An earlier statement had failed in {broken!r}" in message


@every_driver
@pytest.mark.parametrize("broken", NAMES[:2])
def test_constraint_that_is_checked_at_the_end(commit_over: Prepare, drivers: Drivers, broken: str) -> None:
    """Whether PREPARE or the coordinator's COMMIT finds it: SQLAlchemy's own error, and nothing anywhere."""
    commit = commit_over(TWO, drivers)

    def body(session: Session) -> None:
        write(session, *TWO.names)
        write_what_cannot_be_committed(session, broken)
        with pytest.raises(IntegrityError, match="entries_account_id_fkey"):
            session.commit()

    drivers.kind.run(commit.declare(), body)

    assert (NOWHERE, []) == (count(commit.urls), prepared(commit.urls, commit.app))


@every_driver
def test_gid_that_is_too_long(commit_over: Prepare, drivers: Drivers) -> None:
    """The names are too long for what PostgreSQL takes: the error says so, and nothing is sent."""
    commit = commit_over(TWO, drivers)
    names = {name: name + "x" * 80 for name in TWO.names}
    databases = long_names(commit, names)

    def body(session: Session) -> AtomicityError:
        for name in names.values():
            in_database(session, name, "INSERT INTO entries VALUES (1, NULL)")
        error: AtomicityError = refusal(session)
        return error

    error = drivers.kind.run(databases, body)

    assert (NOWHERE, []) == (count(commit.urls), prepared(commit.urls, commit.app))
    assert tuple(names.values()) == error.databases
    assert "too long" in str(error)


def long_names(commit: Commit, names: dict[str, str]) -> Databases:
    return Databases(*(Database(names[name], url) for name, url in commit.urls.items()), app=commit.app)


@every_driver
def test_table_of_decisions_that_may_not_be_created(commit_over: Prepare, drivers: Drivers, postgresql: Server) -> None:
    """The error holds the SQL that somebody else must run; once that is done, the commit goes through."""
    commit = commit_over(TWO, drivers)
    role = f"poor_{commit.app}"
    for sql in (
        f"CREATE ROLE {role} LOGIN PASSWORD 's3cret!'",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ):
        for name in TWO.names if sql.startswith("GRANT") else ("first",):
            do(commit.urls[name], sql)
    urls = {name: url.set(username=role) for name, url in commit.urls.items()}

    def body(session: Session) -> str:
        write(session, *TWO.names)
        message = str(refusal(session))
        sql = message[message.index("CREATE SCHEMA") :]
        grant = f"GRANT USAGE ON SCHEMA manybase TO {role}; GRANT ALL ON manybase.manybase_decision TO {role}"
        do(commit.urls["first"], f"{sql}; {grant}")
        write(session, *TWO.names)
        session.commit()
        return message

    databases = ledgers(urls, app=commit.app)
    try:
        message = drivers.kind.run(databases, body)
    finally:
        for url in commit.urls.values():
            do(url, f"DROP OWNED BY {role}")
        do(commit.urls["first"], f"DROP ROLE {role}")

    assert EVERYWHERE == count(commit.urls)
    assert "CREATE TABLE IF NOT EXISTS manybase.manybase_decision" in message


@every_driver
def test_session_that_is_not_atomic(commit_over: Prepare, drivers: Drivers) -> None:
    """It commits one after the other; where the first one refuses, nothing is torn and its own error passes."""
    commit = commit_over(MIXED, drivers)

    def body(session: Session) -> None:
        write(session, *MIXED.names)
        session.commit()
        write(session, "second")
        write_what_cannot_be_committed(session, "first")
        with pytest.raises(IntegrityError, match="entries_account_id_fkey"):
            session.commit()
        session.rollback()

    drivers.kind.run(commit.declare(), body, atomic=False)

    assert EVERYWHERE == count(commit.urls)


@every_driver
def test_session_that_is_not_atomic_tears(commit_over: Prepare, drivers: Drivers) -> None:
    """The one that came first is committed, the one that refuses is not, and the error says which is which."""
    topology = Topology((MY, PG), "first")
    commit = commit_over(topology, drivers)

    def body(session: Session) -> PartialCommitError:
        write(session, "first")
        write_what_cannot_be_committed(session, "second")
        error: PartialCommitError = refusal(session, PartialCommitError)
        return error

    error = drivers.kind.run(commit.declare(), body, atomic=False)

    assert {"first": 1, "second": 0} == count(commit.urls)
    assert (("first",), ("second",), ()) == (error.committed, error.rolled_back, error.unknown)
