"""One test body for both kinds of session: `run(body)` calls it with a sync session, then with an async one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine, QueuePool, event, text

from manybase import AsyncSession, Databases, Session
from tests.shop import in_files

T = TypeVar("T")
Body = Callable[[Session], T]
Run = Callable[..., Any]


class Sync:
    asyncio = False

    def run(self, databases: Databases, body: Body[T], **options: Any) -> T:
        """What `body` returns for a session over `databases`, which have their tables and end with idle pools."""
        databases.create_all()
        try:
            with Session(databases, **options) as session:
                result = body(session)
            assert_idle(databases, asyncio=False)
            return result
        finally:
            databases.dispose()


class Async:
    asyncio = True

    def run(self, databases: Databases, body: Body[T], **options: Any) -> T:
        """As `Sync.run`, with the session of an `AsyncSession`, in an event loop of its own."""
        return run_async(databases, lambda session: session.run_sync(body), **options)


SessionKind = Sync | Async


@pytest.fixture(params=[Sync(), Async()], ids=["sync", "async"])
def session_kind(request: pytest.FixtureRequest) -> SessionKind:
    kind: SessionKind = request.param
    return kind


@pytest.fixture
def databases(tmp_path: Path) -> Databases:
    """Three SQLite files without a default."""
    return in_files(tmp_path)


@pytest.fixture
def run(session_kind: SessionKind, databases: Databases) -> Run:
    """Runs a body with a session over the three databases."""
    return partial(session_kind.run, databases)


def run_async(databases: Databases, body: Callable[[AsyncSession], Awaitable[T]], **options: Any) -> T:
    """What `body` returns for an async session, for what only an async session has; afterwards the pools are idle."""

    async def main() -> T:
        await databases.acreate_all()
        try:
            async with AsyncSession(databases, **options) as session:
                result = await body(session)
            assert_idle(databases, asyncio=True)
            return result
        finally:
            await databases.adispose()

    return asyncio.run(main())


def another(session: Session, **options: Any) -> Session:
    """A second session over the same databases, for the same loop: it sees what is committed."""
    return Session(session.databases, asyncio=session._asyncio, **options)


def committed(session: Session, database: str, table: str) -> int:
    """How many rows of a table another transaction sees."""
    with another(session, database=database) as reader:
        count: int = reader.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return count


@dataclass(frozen=True)
class Ran:
    database: str | None
    sql: str


@contextmanager
def statements(databases: Databases) -> Iterator[list[Ran]]:
    """What sessions sent to the servers inside the block, and where; without transaction control."""
    ran: list[Ran] = []

    def note(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        name = databases.name_of(connection.engine)
        if name is not None:  # else it is not a session's, but asked beside it
            ran.append(Ran(name, sql))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield ran
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def where(ran: list[Ran]) -> list[str | None]:
    return [each.database for each in ran]


def assert_idle(databases: Databases, *, asyncio: bool) -> None:
    """No connection is checked out and no slot is taken."""
    binds = [databases.bind(name, asyncio=asyncio) for name in databases.names]
    pools = [bind.pool for bind in binds if isinstance(bind, Engine) and isinstance(bind.pool, QueuePool)]
    slots = databases.slots(asyncio=asyncio)

    assert [0] * len(pools) == [pool.checkedout() for pool in pools]
    assert slots._capacity == slots._free
