"""Whatever SQLAlchemy promises of a session holds when its commit is one over several databases."""

import pytest
from sqlalchemy import event

from manybase import Session
from tests.atomic.conftest import Prepare
from tests.atomic.recovering import count
from tests.atomic.topologies import IN_A_FILE, MIXED, TWO, XA, Topology
from tests.atomic.torture import both_kinds
from tests.ledgers import write
from tests.servers.mixed import Drivers

every_company = pytest.mark.parametrize("topology", [TWO, MIXED, XA, IN_A_FILE], ids=str)


@both_kinds
@every_company
def test_session_that_commits_several_times(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """Each is whole, also after a rollback, after a commit of one database, and inside `begin()`."""
    commit = commit_over(topology, drivers)

    def body(session: Session) -> None:
        for _ in range(2):
            write(session, *topology.names)
            session.commit()
        write(session, *topology.names)
        session.rollback()
        write(session, "second")
        session.commit()
        with session.begin():
            write(session, *topology.names)

    drivers.kind.run(commit.declare(), body)

    assert {name: 3 + (name == "second") for name in topology.names} == count(commit.urls)


@both_kinds
@every_company
def test_block_that_raises(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """`with session.begin()` rolls all of them back."""
    commit = commit_over(topology, drivers)

    def write_and_raise(session: Session) -> None:
        with session.begin():
            write(session, *topology.names)
            raise ZeroDivisionError

    def body(session: Session) -> None:
        with pytest.raises(ZeroDivisionError):
            write_and_raise(session)

    drivers.kind.run(commit.declare(), body)

    assert dict.fromkeys(topology.names, 0) == count(commit.urls)


@both_kinds
@every_company
def test_savepoints(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """What is rolled back to a savepoint is not committed, what is released is."""
    commit = commit_over(topology, drivers)

    def body(session: Session) -> None:
        with session.begin_nested():
            write(session, *topology.names)
        undone = session.begin_nested()
        write(session, *topology.names)
        undone.rollback()
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert dict.fromkeys(topology.names, 1) == count(commit.urls)


@both_kinds
@every_company
def test_hooks(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """`before_commit` and `after_commit` come once each, `after_rollback` not at all; what they see is true."""
    commit = commit_over(topology, drivers)
    heard: list[str] = []
    seen: list[dict[str, int]] = []

    def body(session: Session) -> None:
        for name in ("before_commit", "after_commit", "after_rollback"):
            event.listen(session, name, lambda _, name=name: heard.append(name))
        event.listen(session, "after_commit", lambda _: seen.append(count(commit.urls)))
        write(session, *topology.names)
        session.commit()

    drivers.kind.run(commit.declare(), body)

    assert ["before_commit", "after_commit"] == heard
    assert [dict.fromkeys(topology.names, 1)] == seen
