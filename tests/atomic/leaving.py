"""Transactions left in doubt, for the tests of recovery."""

from dataclasses import replace

from sqlalchemy import URL, Connection

from manybase.steps import Step
from tests.atomic.dying import Commit, in_process, was_killed
from tests.atomic.recovering import at, wait_until_alone


def leave(commit: Commit, step: Step, times: int = 1) -> None:
    """Commits that are killed at this step."""
    for _ in range(times):
        assert was_killed(in_process(replace(commit, kill_at=(step, None)).run))
    wait_until_alone(commit.urls.values())


def prepare(url: URL, gid: str) -> None:
    """Somebody's transaction, prepared under this name on PostgreSQL."""

    def body(connection: Connection) -> None:
        for statement in ("BEGIN", "INSERT INTO entries VALUES (DEFAULT, NULL)", f"PREPARE TRANSACTION '{gid}'"):
            connection.exec_driver_sql(statement)

    at(url, body)


def prepare_xa(url: URL, xid: str) -> None:
    """The same on MariaDB."""

    def body(connection: Connection) -> None:
        for statement in (f"XA START {xid}", "INSERT INTO entries VALUES (NULL, NULL)", f"XA END {xid}"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"XA PREPARE {xid}")
        connection.invalidate()  # only whose connection is gone can be ended by others

    at(url, body)
    wait_until_alone([url])


def elsewhere(commit: Commit, name: str, url: URL) -> Commit:
    """The same commit, with another database under one of its names."""
    return replace(commit, urls={**commit.urls, name: url.set(drivername=commit.urls[name].drivername)})


def nowhere(commit: Commit, name: str) -> Commit:
    """The same commit, with a database that does not answer."""
    return elsewhere(commit, name, commit.urls[name].set(port=1))
