"""Recovery ends what is ours and decided by who decided it, and explains what it leaves."""

import asyncio as aio
import time
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import URL
from sqlalchemy.util import await_only

from manybase import NotCommitted, Session
from manybase.coordinators import identity_of
from manybase.gid import new_transaction
from manybase.recovery import InDoubt, Report, in_doubt, resolve
from manybase.testing import fail_at
from tests.atomic.conftest import Prepare
from tests.atomic.dying import Commit
from tests.atomic.leaving import elsewhere, leave, nowhere, prepare, prepare_xa
from tests.atomic.recovering import count, decisions, do, prepared, recover, run
from tests.atomic.topologies import MIXED, MY, PG, TWO, XA, Topology
from tests.atomic.torture import both_kinds
from tests.ledgers import write
from tests.servers.mixed import Drivers
from tests.servers.server import Server

THREE = Topology((PG, PG, PG), "first")


def resolved(commit: Commit, transaction: str | None = None, min_age: float = 0) -> Report:
    databases = commit.declare()
    return run(
        commit.asyncio, partial(resolve, databases, transaction, min_age=min_age, asyncio=commit.asyncio), databases
    )


def pause(seconds: float, *, asyncio: bool) -> None:
    if asyncio:
        await_only(aio.sleep(seconds))
    else:
        time.sleep(seconds)


def doubts(commit: Commit) -> list[InDoubt]:
    databases = commit.declare()
    return run(commit.asyncio, partial(in_doubt, databases, asyncio=commit.asyncio), databases)


@both_kinds
def test_what_others_have_prepared(commit_over: Prepare, drivers: Drivers) -> None:
    """It stays, and what bears our name is explained: another identity, a coordinator that nobody declared."""
    commit = commit_over(TWO, drivers)
    transaction = new_transaction()
    identity_of(commit.in_sync().declare(), "first", asyncio=False)
    gids = [
        f"foo {commit.app}",
        f"mb1:other{commit.app}:first.abcd1234:{transaction}:second",
        f"mb1:{commit.app}:first.abcd1234:{transaction}:second",
        f"mb1:{commit.app}:stranger.abcd1234:{transaction}:second",
        f"mb1:{commit.app}:no gid of ours",
    ]
    for gid in gids:
        prepare(commit.urls["second"], gid)

    report = resolved(commit)

    assert sorted(gids) == prepared(commit.urls, commit.app)
    assert [
        "its coordinator 'stranger' is not declared here",
        "the database declared as 'first' is another one than its coordinator",
    ] == sorted(each.why for each in report.left)
    assert report.left == report.resolutions
    assert sorted(each.why for each in report.left) == sorted(each.why for each in doubts(commit))
    for gid in gids:
        do(commit.urls["second"], f"ROLLBACK PREPARED '{gid}'")


@both_kinds
def test_xa_that_others_have_prepared(commit_over: Prepare, drivers: Drivers) -> None:
    """It stays; one that bears our name without saying who decides is explained."""
    commit = commit_over(XA, drivers)
    transaction = new_transaction()
    xids = [
        f"'foo{commit.app}'",
        f"'mb1:o{commit.app}:{transaction}','second'",
        f"'mb1:{commit.app}:{transaction}','second'",
    ]
    for xid in xids:
        prepare_xa(commit.urls["second"], xid)

    report = resolved(commit)

    assert 3 == len(prepared(commit.urls, commit.app))
    assert [("second", "it is not of this database, or another application's: it carries no coordinator here")] == [
        (each.database, each.why) for each in report.left
    ]
    for xid in xids:
        do(commit.urls["second"], f"XA ROLLBACK {xid}")


@both_kinds
@pytest.mark.parametrize("topology", [TWO, MIXED, XA], ids=str)
def test_coordinator_that_does_not_answer(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """Its transactions are left, with the reason, and end once it answers."""
    commit = commit_over(topology, drivers)
    leave(commit, "committed")

    report = resolved(nowhere(commit, topology.coordinator))

    assert [topology.coordinator] == report.unreachable
    assert {f"its coordinator {topology.coordinator!r} does not answer"} == {each.why for each in report.left}
    assert len(topology.others) == len(report.left)
    assert {"committed"} == {each.ended for each in resolved(commit).resolutions}
    assert dict.fromkeys(topology.names, 1) == count(commit.urls)


@both_kinds
@pytest.mark.parametrize("with_decisions", [True, False], ids=["with decisions", "empty"])
def test_another_database_under_the_name_of_the_coordinator(
    commit_over: Prepare,
    drivers: Drivers,
    postgresql: Server,
    create_database: Callable[[Server], URL],
    with_decisions: bool,
) -> None:
    """It is not believed, whatever it says."""
    commit = commit_over(TWO, drivers)
    leave(commit, "committed")
    wrong = elsewhere(commit, "first", create_database(postgresql))
    if with_decisions:
        identity_of(wrong.in_sync().declare(), "first", asyncio=False)

    report = resolved(wrong)

    assert ["the database declared as 'first' is another one than its coordinator"] == [
        each.why for each in report.left
    ]
    recover(commit.in_sync().declare())
    assert {"first": 1, "second": 1} == count(commit.urls)


@both_kinds
def test_transactions_that_are_young(commit_over: Prepare, drivers: Drivers) -> None:
    """They are left to the process that began them, unless they are named."""
    commit = commit_over(TWO, drivers)
    leave(commit, "committed", times=2)
    first, second = doubts(commit)

    young = resolved(commit, min_age=60)
    named = resolved(commit, second.transaction_id, min_age=60)

    assert ([], 0) == (young.resolutions, young.forgotten)
    assert [(second.transaction_id, "second", "committed")] == [
        (each.transaction_id, each.database, each.ended) for each in named.resolutions
    ]
    assert [first.transaction_id] == [each.transaction_id for each in doubts(commit)]
    assert ("first", "commit", "") == (first.coordinator, first.decided, first.why)
    recover(commit.in_sync().declare())


@both_kinds
@pytest.mark.parametrize("topology", [TWO, MIXED], ids=str)
def test_aborts(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """They are remembered for a week, so that no commit can overrule them, and then deleted."""
    commit = commit_over(topology, drivers)
    leave(commit, "all prepared")

    assert {"rolled back"} == {each.ended for each in resolved(commit).resolutions}

    resolved(commit)
    assert 1 == decisions(commit.urls, "abort")
    old = {
        PG: "UPDATE manybase.manybase_decision SET decided_at = now() - interval '8 days' WHERE outcome = 'abort'",
        MY: "UPDATE manybase_decision SET decided_at = unix_timestamp() - 8 * 86400 WHERE outcome = 'abort'",
    }
    do(commit.urls[topology.coordinator], old[topology.backends[topology.names.index(topology.coordinator)]])
    resolved(commit)
    assert 0 == decisions(commit.urls, "abort")


@both_kinds
def test_commit_that_a_participant_still_needs(commit_over: Prepare, drivers: Drivers) -> None:
    """It is not forgotten while that one does not answer."""
    commit = commit_over(THREE, drivers)
    leave(commit, "committed")

    report = resolved(nowhere(commit, "third"))

    assert (["third"], 0) == (report.unreachable, report.forgotten)
    assert 1 == decisions(commit.urls, "commit")
    assert 1 == resolved(commit).forgotten
    assert (dict.fromkeys(THREE.names, 1), 0) == (count(commit.urls), decisions(commit.urls, "commit"))


@both_kinds
@pytest.mark.parametrize("topology", [TWO, MIXED, XA], ids=str)
def test_recovery_that_overtakes_a_living_commit(commit_over: Prepare, topology: Topology, drivers: Drivers) -> None:
    """The one that came first has decided: the commit is told that it is none, and nothing is anywhere."""
    commit = commit_over(topology, drivers)
    reports = []

    def body(session: Session) -> None:
        databases = session.databases
        write(session, *topology.names)
        session.commit()
        write(session, *topology.names)

        def overtake() -> None:
            while len(prepared(commit.urls, commit.app)) < len(topology.others):  # PostgreSQL records meanwhile
                pause(0.01, asyncio=commit.asyncio)
            reports.append(resolve(databases, min_age=0, asyncio=commit.asyncio))

        with fail_at("recording", error=overtake), pytest.raises(NotCommitted):
            session.commit()

    drivers.kind.run(commit.declare(), body)

    recover(commit.in_sync().declare())
    assert [len(topology.others)] == [len(report.resolutions) for report in reports]
    assert (dict.fromkeys(topology.names, 1), []) == (count(commit.urls), prepared(commit.urls, commit.app))


@both_kinds
def test_mariadb_that_is_a_replica(commit_over: Prepare, drivers: Drivers) -> None:
    """What it lists as prepared is its primary's to end, and it is not asked what was decided."""
    commit = commit_over(XA, drivers)
    leave(commit, "committed")
    do(commit.urls["first"], "SET GLOBAL read_only = 1")
    try:
        report = resolved(commit)
    finally:
        do(commit.urls["first"], "SET GLOBAL read_only = 0")

    assert [("third", "its coordinator 'first' is a replica here")] == [
        (each.database, each.why) for each in report.left
    ]
    assert 2 == len(prepared(commit.urls, commit.app))
    recover(commit.in_sync().declare())
    assert dict.fromkeys(XA.names, 1) == count(commit.urls)
