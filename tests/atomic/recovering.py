"""What recovery makes of what is left, and what the servers themselves say is left."""

import asyncio as aio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.util import await_only, greenlet_spawn

from manybase import Databases, decision
from manybase.recovery import Report, resolve
from tests.atomic.dying import Commit, in_sync

T = TypeVar("T")
PATIENCE = 20
OTHERS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = '{}' AND id <> connection_id()",
}

PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"


def run(asyncio: bool, body: Callable[[], T], databases: Databases) -> T:
    """What `body` returns, in a greenlet of an event loop of its own where it is asynchronous; then all is closed."""

    async def main() -> T:
        try:
            return await greenlet_spawn(body)
        finally:
            await databases.adispose()

    if asyncio:
        return aio.run(main())
    try:
        return body()
    finally:
        databases.dispose()


def recover(databases: Databases, *, asyncio: bool = False) -> Report:
    """Recovery, again and again until it leaves nothing; all that it has ended."""
    ended = Report()
    deadline = time.monotonic() + PATIENCE
    while True:
        report = resolve(databases, min_age=0, asyncio=asyncio)
        ended.resolutions += [each for each in report.resolutions if each.ended != "left"]
        ended.forgotten += report.forgotten
        if not report.left and not report.unreachable:
            return ended
        assert time.monotonic() < deadline, report
        pause(asyncio=asyncio)


def recover_in_process(commit: Commit) -> None:
    databases = commit.declare()
    run(commit.asyncio, lambda: recover(databases, asyncio=commit.asyncio), databases)


def pause(seconds: float = 0.02, *, asyncio: bool) -> None:
    if asyncio:
        await_only(aio.sleep(seconds))
    else:
        time.sleep(seconds)


def count(urls: Mapping[str, URL]) -> dict[str, int]:
    """How many entries are committed in each database."""
    return {name: ask(url, "SELECT count(*) FROM entries")[0][0] for name, url in urls.items()}


def wait_until_alone(urls: Iterable[URL]) -> None:
    """The servers have noticed that a process is gone, and ended what it had sent them last."""
    for url in urls:
        question = OTHERS.get(url.get_backend_name())
        deadline = time.monotonic() + PATIENCE
        while question is not None and ask(url, question.format(url.database)) != [(0,)]:
            assert time.monotonic() < deadline, url.database
            time.sleep(0.01)


def prepared(urls: Mapping[str, URL], app: str) -> list[str]:
    """Everything that is prepared in these databases, as the servers list it; of MariaDB, what bears this name."""
    found = set()
    for url in urls.values():
        if url.get_backend_name() == "postgresql":
            found |= {
                gid for (gid,) in ask(url, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
            }
        elif url.get_backend_name() == "mysql":
            found |= {str(name) for *_, name in ask(url, "XA RECOVER") if app in str(name)}
    return sorted(found)


def decisions(urls: Mapping[str, URL], outcome: str) -> int:
    """How many rows of the decision tables say this."""

    def asked(connection: Connection) -> int:
        this = decision.of(connection)
        if connection.exec_driver_sql(this.exists).first() is None:
            return 0
        counted: int = connection.exec_driver_sql(
            f"SELECT count(*) FROM {this.table} WHERE outcome = '{outcome}'"
        ).scalar_one()
        return counted

    return sum(at(url, asked) for url in urls.values())


def ask(url: URL, sql: str) -> list[tuple[Any, ...]]:
    return at(url, lambda connection: [tuple(row) for row in connection.exec_driver_sql(sql)])


def do(url: URL, sql: str) -> None:
    at(url, lambda connection: connection.exec_driver_sql(sql))


def at(url: URL, body: Callable[[Connection], T]) -> T:
    """What `body` returns for a connection of its own, in autocommit, through a sync driver."""
    with engine_of(in_sync(url)).connect() as connection:
        return body(connection)


@cache
def engine_of(url: URL) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
