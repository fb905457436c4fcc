"""Tenant engines: made once, alike, never closed while in use, and gone afterwards."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text

from manybase import AsyncSession, Databases, Overloaded, Session
from manybase.tenant_engines import TenantEngine
from tests.forks import in_child
from tests.tenants.conftest import Declare, create_tables
from tests.tenants.customers import TENANTS, Item, in_files

MANY = tuple(f"t{number:02}" for number in range(20))
ONE = text("SELECT 1")
WHERE = {"postgresql": "SELECT current_database()", "mysql": "SELECT database()"}


def ask(databases: Databases, tenant: str) -> None:
    with Session(databases, tenant=tenant) as session:
        session.execute(select(1).execution_options(database="crm"))


async def ask_async(databases: Databases, tenant: str) -> None:
    async with AsyncSession(databases, tenant=tenant) as session:
        await session.execute(select(1).execution_options(database="crm"))


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    """Whether each statement was compiled anew, by any engine."""
    found: list[Any] = []

    def note(_c: Any, _cursor: Any, _sql: str, _p: Any, context: Any, _many: bool) -> None:
        found.append(context.cache_hit.name)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def alive() -> int:
    gc.collect()
    return sum(isinstance(each, TenantEngine) for each in gc.get_objects())


def test_what_they_share(tmp_path: Path, seen: list[Any]) -> None:
    """One dialect and one compiled statement; a pool, a URL and a name each."""
    databases = in_files(tmp_path, MANY)
    engines = [databases.engine("crm", tenant=tenant) for tenant in MANY]
    for tenant in MANY * 2:
        ask(databases, tenant)

    assert [1, 20, 20] == [len({id(f(e)) for e in engines}) for f in (dialect_of, pool_of, lambda e: e.url)]
    assert ["CACHE_MISS", *["CACHE_HIT"] * 39] == seen
    assert "crm@t03" == databases.name_of(databases.engine("crm", tenant="t03"))
    databases.dispose()


def dialect_of(engine: Engine) -> Any:
    return engine.dialect


def pool_of(engine: Engine) -> Any:
    return engine.pool


@pytest.mark.kinds("sqlite-database", "postgresql-database", "mariadb-database")
def test_first_connect_once(databases: Databases, declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dialect asks a server the first time is asked for the first tenant only."""
    fresh = declare()
    asked: list[Any] = []
    dialect: Any = type(fresh.engine("crm", tenant="acme").dialect)
    initialize = dialect.initialize
    monkeypatch.setattr(dialect, "initialize", lambda self, c: (asked.append(c), initialize(self, c))[1])

    for tenant in TENANTS:
        ask(fresh, tenant)

    assert 1 == len(asked)
    fresh.dispose()


def test_made_once(tmp_path: Path) -> None:
    """Also when many threads ask at once."""
    databases = in_files(tmp_path, MANY)
    start, found = threading.Barrier(8), set[Any]()

    def make() -> None:
        start.wait()
        found.update(databases.engine("crm", tenant=tenant) for tenant in MANY)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert (20, 20) == (len(found), databases.usage().engines)


def test_least_recently_used(tmp_path: Path) -> None:
    """One that was asked for lately stays."""
    databases = in_files(tmp_path, MANY, max_tenant_engines=3)
    first = databases.engine("crm", tenant="t00")
    for tenant in ("t01", "t02"):
        ask(databases, tenant)
    ask(databases, "t00")
    ask(databases, "t03")

    assert first is databases.engine("crm", tenant="t00")
    assert (3, 1) == (databases.usage().engines, databases.usage().evictions)
    names = {each.name for each in databases._shelves}
    assert {"crm@t00", "crm@t02", "crm@t03"} == names
    databases.dispose()


def test_in_use(tmp_path: Path) -> None:
    """Neither one that a session uses, nor one with a connection of anybody's, is ever closed."""
    databases = in_files(tmp_path, MANY, max_tenant_engines=3, tenant_engine_idle=0)
    with ExitStack() as stack:
        session = stack.enter_context(Session(databases, tenant="t00"))
        session.execute(select(1).execution_options(database="crm"))
        mine = databases.engine("crm", tenant="t01")
        stack.enter_context(mine.connect())
        for tenant in MANY[2:]:
            ask(databases, tenant)
            databases.close_idle_tenants()
        names = {each.name for each in databases._shelves}

    assert {"crm@t00", "crm@t01"} <= names
    assert mine is databases.engine("crm", tenant="t01")
    databases.dispose()


def test_idle(tmp_path: Path) -> None:
    """After a while without use their connections are closed, also when nothing but other tenants is asked for."""
    databases = in_files(tmp_path, MANY, tenant_engine_idle=0.05)
    ask(databases, "t00")
    pool: Any = databases.engine("crm", tenant="t00").pool
    assert 1 == pool.checkedin()

    time.sleep(0.06)
    ask(databases, "t01")

    assert 0 == pool.checkedin()
    assert ["crm@t01"] == [each.name for each in databases._shelves]
    databases.dispose()


def test_more_than_there_may_be(tmp_path: Path) -> None:
    """Who needs one more waits his time, and is told."""
    databases = in_files(tmp_path, MANY, max_tenant_engines=1, pool_timeout=0.05)
    with Session(databases, tenant="t00") as session:
        session.execute(select(1).execution_options(database="crm"))
        with pytest.raises(Overloaded, match="max_tenant_engines"):
            ask(databases, "t01")
    ask(databases, "t01")

    assert (0, 0) == (databases.usage().waiting, databases.usage().in_use)
    databases.dispose()


def test_ticket_inside_a_ticket(tmp_path: Path) -> None:
    """Whoever holds all there is and wants more is refused in time, and not for ever."""
    databases = in_files(tmp_path, MANY, max_connections=3, pool_timeout=0.05)
    with Session(databases, tenant="t00") as session:
        session.execute(select(1).execution_options(database="crm"))
        with pytest.raises(Overloaded, match="max_connections"):
            ask(databases, "t01")
    databases.dispose()


def test_limit_of_connections(tmp_path: Path) -> None:
    """An idle connection of another tenant is closed for one that is needed."""
    databases = in_files(tmp_path, MANY, max_connections=4)
    for tenant in MANY:
        ask(databases, tenant)
        assert databases.usage().connections <= 4

    databases.dispose()
    assert 0 == databases.usage().connections


def test_limit_without_tenants(tmp_path: Path) -> None:
    """Databases without tenants keep to it as well."""
    from tests.shop import in_files as shop_in_files

    databases = shop_in_files(tmp_path, max_connections=5)
    databases.create_all()
    with Session(databases) as first, Session(databases, database="shop") as second:
        for name in databases.names:
            first.execute(ONE, bind_arguments={"database": name})
        assert 3 == databases.usage().connections
        with pytest.raises(Overloaded):
            Session(databases, database="shop").execute(ONE) if databases.budget is None else blocked(databases, second)
    databases.dispose()
    assert 0 == databases.usage().connections


def blocked(databases: Databases, session: Session) -> None:
    databases.pool_timeout = 0.05
    session.execute(ONE)


def test_connections_that_end_otherwise(tmp_path: Path) -> None:
    """Invalidated, detached, refused or dropped: the count is right afterwards."""
    databases = in_files(tmp_path, MANY, max_connections=9)
    engine = databases.engine("crm", tenant="t00")
    with engine.connect() as connection:
        connection.invalidate()
        connection.rollback()
        connection.execute(ONE)
        assert 1 == databases.usage().connections
    with engine.connect() as connection:
        connection.detach()
        assert 1 == databases.usage().connections
    assert 0 == databases.usage().connections

    def refuse(*_: Any) -> None:
        raise RuntimeError("no")

    event.listen(engine.pool, "connect", refuse)
    with pytest.raises(RuntimeError):
        engine.connect()
    event.remove(engine.pool, "connect", refuse)
    with engine.connect():
        assert 1 == databases.usage().connections
    databases.dispose()
    assert 0 == databases.usage().connections


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_loop_that_ended(tmp_path: Path) -> None:
    """Its connections take nobody's place, even where nobody disposed of them."""
    databases = in_files(tmp_path, MANY, max_connections=5)

    async def main(tenants: tuple[str, ...]) -> None:
        for tenant in tenants:
            await ask_async(databases, tenant)

    for start in (0, 4, 8):
        asyncio.run(main(MANY[start : start + 4]))
    for tenant in MANY[:6]:
        ask(databases, tenant)

    assert databases.usage().connections <= 5
    databases.dispose()
    gc.collect()


def test_connections_of_a_running_loop(tmp_path: Path) -> None:
    """A thread that needs a connection has an idle one of an event loop closed, in that loop."""
    databases = in_files(tmp_path, MANY, max_connections=4)

    async def main() -> int:
        for tenant in MANY[:4]:
            await ask_async(databases, tenant)
        for tenant in MANY[4:8]:
            await asyncio.to_thread(ask, databases, tenant)
        for tenant in MANY[8:12]:
            await ask_async(databases, tenant)
        count = databases.usage().connections
        await databases.adispose()
        return count

    assert asyncio.run(main()) <= 4
    databases.dispose()
    assert (0, 0) == (databases.usage().connections, databases.usage().engines)


def test_nothing_is_left(tmp_path: Path) -> None:
    """After ``dispose`` and ``adispose``: no engine, no connection, no thread, no task."""
    before, threads = alive(), threading.active_count()
    databases = in_files(tmp_path, MANY, max_connections=6, max_tenant_engines=4)

    async def main() -> int:
        await asyncio.gather(*(ask_async(databases, tenant) for tenant in MANY))
        await databases.adispose()
        return len(asyncio.all_tasks())

    assert 1 == asyncio.run(main())
    for tenant in MANY:
        ask(databases, tenant)
    databases.dispose()

    assert (before, threads) == (alive(), threading.active_count())
    usage = databases.usage()
    assert (0, 0, 0, 0) == (usage.engines, usage.connections, usage.in_use, usage.waiting)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork(tmp_path: Path) -> None:
    """What the parent has open counts for the parent only."""
    databases = in_files(tmp_path, MANY, max_connections=4, pool_timeout=1)
    for tenant in MANY[1:4]:
        ask(databases, tenant)
    with Session(databases, tenant="t00") as session:
        session.execute(select(1).execution_options(database="crm"))

        def child() -> Any:
            for tenant in MANY[:5]:
                ask(databases, tenant)
            return databases.usage().connections <= 4

        assert "True" == in_child(child)
        assert 4 == databases.usage().connections
    databases.dispose()


def test_events(tmp_path: Path) -> None:
    """Those of ``pool_events`` and of the class reach every tenant; those of one engine stay with it."""
    seen: list[str] = []
    options = {"pool_events": [(lambda *_: seen.append("connect"), "connect")]}
    databases = in_files(tmp_path, MANY, engine_options=options)
    event.listen(databases.engine("crm", tenant="t00"), "begin", lambda *_: seen.append("begin"))

    ask(databases, "t00")
    ask(databases, "t01")

    assert ["connect", "begin", "connect"] == seen
    databases.dispose()


def test_execution_options(tmp_path: Path) -> None:
    """An engine with options of its own leads to the same place, also when it connects first."""
    databases = in_files(tmp_path, MANY)
    for tenant in MANY[:3]:
        engine = databases.engine("crm", tenant=tenant).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.invalidate()
            path = connection.exec_driver_sql("PRAGMA database_list").all()[0][2]
        assert path.endswith(f"/crm_{tenant}.db")
    databases.dispose()


@pytest.mark.kinds("postgresql-database", "mariadb-database")
@pytest.mark.parametrize("options", [{"pool_pre_ping": True}, {"pool_recycle": 0}], ids=["ping", "recycle"])
def test_reconnecting(declare: Declare, options: Any) -> None:
    """A pool that finds its connection lost, or too old, connects to its tenant again."""
    databases = declare(engine_options=options, max_connections=9)
    create_tables(databases)
    for _ in range(2):
        for tenant in TENANTS:
            engine = databases.engine("crm", tenant=tenant)
            with engine.connect() as connection:
                here = connection.exec_driver_sql(WHERE[engine.dialect.name]).scalar()
                driver_connection: Any = connection.connection.driver_connection
            assert engine.url.database == here
            driver_connection.close()
    databases.dispose()
    assert 0 == databases.usage().connections


@pytest.mark.once
def test_ten_thousand_tenants(tmp_path: Path, seen: list[Any]) -> None:
    """Of them 2,000 are visited through 50 engines: memory and compiled statements do not grow with them."""
    import tracemalloc

    names = tuple(f"t{number:05}" for number in range(10_000))
    databases = in_files(tmp_path, frozenset(names), engine_options={"pool_events": []})
    for tenant in names[:200]:
        ask(databases, tenant)
    gc.collect()
    tracemalloc.start()
    for tenant in names[200:300]:
        ask(databases, tenant)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for tenant in names[300:2_000]:
        ask(databases, tenant)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert grown < 1_000_000  # an engine that is kept takes more than 50,000
    assert 1 == seen.count("CACHE_MISS")
    assert (50, 1_950) == (databases.usage().engines, databases.usage().evictions)
    databases.dispose()


@pytest.mark.kinds("sqlite-database")
def test_usage_of_items(databases: Databases) -> None:
    """It tells what is in use, and what is only open."""
    with Session(databases, tenant="acme") as session:
        session.scalars(select(Item)).all()
        usage = databases.usage()

    assert (1, 3) == (usage.in_use, usage.engines)
    assert (0, None) == (databases.usage().in_use, usage.max_connections)
    assert usage.connections == databases.usage().connections
