"""Databases: the declarations, and the engines that are made of them when first needed."""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import AsyncAdaptedQueuePool, Engine, NullPool, QueuePool, StaticPool, create_engine, exc, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import SingletonThreadPool

from manybase import AsyncSession, ConfigurationError, Database, Databases, Session, UnknownDatabase
from manybase.connecting import capacity, dialect_of


def declare(*names: str, **options: Any) -> Databases:
    return Databases(*(Database(name, "sqlite://") for name in names), **options)


def in_file(folder: Path, **options: Any) -> Databases:
    return Databases(Database("shop", f"sqlite:///{folder}/shop.db", **options))


async def use(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def test_declarations() -> None:
    """They are kept in their order, and found by name."""
    shop, audit = Database("shop", "sqlite://"), Database("audit", "sqlite://", default=True)
    declared = Databases(shop, audit)

    assert [shop, audit] == [*declared]
    assert ("shop", "audit") == declared.names
    assert audit is declared["audit"]
    assert [True, False] == ["shop" in declared, "billing" in declared]
    assert 2 == len(declared)
    assert "Databases(Database('shop', sqlite), Database('audit', sqlite, default=True))" == repr(declared)


def test_no_databases() -> None:
    """The error shows what to write."""
    with pytest.raises(ConfigurationError, match=r"Databases\(\) is empty.*Databases\(Database\('main', url\)\)"):
        Databases()


@pytest.mark.parametrize("wrong", ["sqlite://", [Database("shop")], {"shop": "sqlite://"}, create_engine("sqlite://")])
def test_something_else_than_a_database(wrong: Any) -> None:
    """The error names its type, wherever it stands."""
    for arguments in ([wrong], [Database("audit"), wrong]):
        with pytest.raises(ConfigurationError, match=rf"takes Database objects, .* not {type(wrong).__name__}: "):
            Databases(*arguments)


def test_name_declared_twice() -> None:
    """The error says which."""
    with pytest.raises(
        ConfigurationError, match=r"Declared twice: audit, shop\. Each database needs a name of its own"
    ):
        declare("shop", "audit", "main", "audit", "shop")


def test_several_defaults() -> None:
    """The error says which."""
    with pytest.raises(ConfigurationError, match=r"Several defaults: a, b. Keep default=True on one of them"):
        Databases(Database("a", default=True), Database("b", default=True), Database("c"))


def test_default() -> None:
    """The one that says so; the only one; or none at all."""
    assert "b" == Databases(Database("a"), Database("b", default=True)).default
    assert "a" == declare("a").default
    assert declare("a", "b").default is None


def test_undeclared_name() -> None:
    """The error names those that are declared, also as attributes."""
    declared = declare("shop", "audit")

    for ask in (declared.__getitem__, declared.engine, declared.async_engine, declared.create_all, declared.tables):
        with pytest.raises(UnknownDatabase, match=r"'biling' is not declared. Declared: shop, audit. Add it") as raised:
            ask("biling")
        assert ("biling", ("shop", "audit")) == (raised.value.name, raised.value.declared)


@pytest.mark.parametrize("kind", ["engine", "async_engine"])
def test_engine_without_a_name(kind: str) -> None:
    """The default database's; the error names the databases where there is no default."""
    alone, several = declare("shop"), declare("shop", "audit")

    assert getattr(alone, kind)() is getattr(alone, kind)("shop")
    with pytest.raises(ConfigurationError, match=r"no default database. Name one of shop, audit, or declare one with"):
        getattr(several, kind)()


def test_nothing_is_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declaring makes no engine, and an engine makes no connection: there is no file until a statement runs."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    declared = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db"), Database("never", "postgresql+psycopg://"))

    engine = declared.engine("shop")
    assert not (tmp_path / "shop.db").exists()

    engine.connect().close()
    assert (tmp_path / "shop.db").exists()
    declared.dispose()


def test_engine_is_made_once() -> None:
    """Asking again gives the same one; sync and async engines are different ones; each knows its database."""
    declared = declare("shop")
    sync, asyncio = declared.engine("shop"), declared.async_engine("shop")

    assert sync is declared.engine("shop")
    assert asyncio is declared.async_engine("shop")
    assert ["shop", "shop"] == [declared.name_of(engine) for engine in (sync, asyncio.sync_engine)]
    assert declared.name_of(create_engine("sqlite://")) is None


@pytest.mark.parametrize("kind", ["engine", "async_engine"])
def test_twenty_threads_at_once(kind: str) -> None:
    """They all get the one engine that is made."""
    declared, barrier = declare("shop"), Barrier(20)

    def ask(_: int) -> Any:
        barrier.wait()
        return getattr(declared, kind)("shop")

    with ThreadPoolExecutor(20) as threads:
        assert 1 == len(set(threads.map(ask, range(20))))


def test_engine_options(tmp_path: Path) -> None:
    """Those of the declaration reach every engine, those of a database win for its own."""
    declared = Databases(
        Database("shop", f"sqlite:///{tmp_path}/shop.db", engine_options={"pool_size": 2}),
        Database("audit", f"sqlite:///{tmp_path}/audit.db"),
        engine_options={"pool_size": 3, "echo": False},
    )

    assert [2, 3] == [declared.engine(name).pool.size() for name in declared.names]
    assert 2 == declared.async_engine("shop").pool.size()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pool_sice": 3}, r"Invalid argument\(s\) 'pool_sice' sent to create_engine"),
        ({"connect_args": "x"}, "has a value that cannot be read"),
        ({"plugins": ["nosuch"]}, "Can't load plugin: sqlalchemy.plugins:nosuch"),
    ],
)
@pytest.mark.parametrize("kind", ["engine", "async_engine"])
def test_engine_options_that_are_refused(kind: str, options: dict[str, Any], why: str) -> None:
    """The error names the database and says what SQLAlchemy says."""
    declared = Databases(Database("shop", "sqlite://", engine_options=options))

    with pytest.raises(ConfigurationError, match=f"'shop': its engine cannot be made with these options.*{why}"):
        getattr(declared, kind)()


def test_url_with_a_value_that_cannot_be_read() -> None:
    """Refused when the engine is made, without repeating the value."""
    declared = Databases(Database("shop", "mysql+pymysql://db2/shop?connect_timeout=soon"))

    with pytest.raises(ConfigurationError, match=r"a part of the URL after '.', has a value") as raised:
        declared.engine()

    assert "soon" not in str(raised.value)


def test_async_engine_for_a_session() -> None:
    """An existing engine serves one kind of session; the error names both ways out."""
    declared = Databases(Database("shop", engine=create_async_engine("sqlite+aiosqlite://")))

    with Session(declared) as session, pytest.raises(ConfigurationError, match=r"AsyncEngine.*Use an AsyncSession, or"):
        session.execute(text("SELECT 1"))


def test_engine_for_an_async_session() -> None:
    """The same the other way round."""
    declared = Databases(Database("shop", engine=create_engine("sqlite://")))

    async def run() -> None:
        async with AsyncSession(declared) as session:
            await session.execute(text("SELECT 1"))

    with pytest.raises(ConfigurationError, match=r"sync Engine.*Use a Session, or"):
        asyncio.run(run())


def test_dispose(tmp_path: Path) -> None:
    """Idle connections are closed; the next use makes a new engine."""
    declared = in_file(tmp_path)
    engine = declared.engine()
    engine.connect().close()
    declared.dispose()

    assert 0 == engine.pool.checkedin()
    assert engine is not declared.engine()


def test_dispose_with_an_existing_engine(tmp_path: Path) -> None:
    """It stays its owner's: its idle connections stay open, and it is used again."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    declared = Databases(Database("shop", engine=engine))
    with Session(declared) as session:
        session.execute(text("SELECT 1"))
    declared.dispose()

    assert 1 == engine.pool.checkedin()
    assert engine is declared.engine()
    assert "shop" == declared.name_of(engine)
    engine.dispose()


def test_adispose(tmp_path: Path) -> None:
    """Idle connections of this loop's engines are closed; those of an existing engine stay open."""
    existing = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/existing.db")
    declared = Databases(
        Database("shop", f"sqlite:///{tmp_path}/shop.db"), Database("existing", engine=existing), engine_options={}
    )

    async def run() -> list[Any]:
        engines = [declared.async_engine(name) for name in declared.names]
        for engine in engines:
            await use(engine)
        await declared.adispose()
        idle = [engine.pool.checkedin() for engine in engines]
        again = [declared.async_engine(name) is engine for name, engine in zip(declared.names, engines, strict=True)]
        await existing.dispose()
        return [idle, again]

    assert [[0, 1], [False, True]] == asyncio.run(run())


def test_two_event_loops(tmp_path: Path) -> None:
    """Each has engines of its own: connections belong to the loop that opened them."""
    declared = in_file(tmp_path)

    async def run() -> AsyncEngine:
        engine = declared.async_engine()
        await use(engine)
        assert engine is declared.async_engine()
        await declared.adispose()
        return engine

    assert asyncio.run(run()) is not asyncio.run(run())


def test_engine_made_outside_an_event_loop() -> None:
    """The first loop that asks gets it, the second makes its own."""
    declared = declare("shop")
    made = declared.async_engine()

    async def run() -> AsyncEngine:
        return declared.async_engine()

    assert made is asyncio.run(run())
    assert made is not asyncio.run(run())


def test_existing_async_engine_in_two_loops() -> None:
    """It is what its owner gave, in every loop."""
    engine = create_async_engine("sqlite+aiosqlite://")
    declared = Databases(Database("shop", engine=engine))

    async def run() -> AsyncEngine:
        return declared.async_engine()

    assert [engine, engine] == [asyncio.run(run()), asyncio.run(run())]


def test_engines_end_with_their_loop() -> None:
    """A loop that is gone takes its engines with it: a program of many short loops does not grow."""
    declared = declare("shop")

    async def run() -> None:
        declared.async_engine()

    for _ in range(3):
        asyncio.run(run())

    assert len(declared._shelves) <= 1


POOLED: dict[str, Callable[[], Any]] = {
    "queue": lambda: create_engine("sqlite:///a.db", pool_size=4, max_overflow=3),
    "unbounded queue": lambda: create_engine("sqlite:///a.db", pool_size=0),
    "none": lambda: create_engine("sqlite:///a.db", poolclass=NullPool),
    "one per thread": lambda: create_engine("sqlite://", poolclass=SingletonThreadPool),
    "async queue": lambda: create_async_engine("sqlite+aiosqlite:///a.db", pool_size=6),
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 15),
        ({"pool_size": 3}, 13),
        ({"pool_size": 3, "max_overflow": 0}, 3),
        ({"poolclass": QueuePool, "max_overflow": 1}, 6),
        ({"poolclass": AsyncAdaptedQueuePool}, 15),
        ({"pool_size": 0}, None),
        ({"max_overflow": -1}, None),
        ({"poolclass": NullPool}, None),
        ({"poolclass": StaticPool}, None),
        ({"poolclass": None}, 15),
        ({"pool": QueuePool(object, pool_size=7)}, 7),
    ],
)
def test_capacity(options: dict[str, Any], expected: int | None) -> None:
    """As many connections as the pool gives out at once, as SQLAlchemy counts; None where nothing bounds it."""
    assert expected == capacity(Database("shop", "postgresql://db1/shop"), options)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [("queue", 4), ("unbounded queue", None), ("none", None), ("one per thread", None), ("async queue", 6)],
)
def test_capacity_of_an_existing_engine(pool: str, expected: int | None) -> None:
    """What its pool keeps; how far it may overflow is not public, so that is left as a reserve."""
    assert expected == capacity(Database("shop", engine=POOLED[pool]()), {})


def test_capacity_is_what_the_pool_gives_out(tmp_path: Path) -> None:
    """One connection more than that has to wait."""
    options = {"pool_size": 2, "max_overflow": 1, "pool_timeout": 0.01}
    declared = in_file(tmp_path, engine_options=options)
    connections = [declared.engine().connect() for _ in range(capacity(declared["shop"], options) or 0)]

    assert 3 == len(connections)
    with pytest.raises(Exception, match="QueuePool limit of size 2 overflow 1 reached"):
        declared.engine().connect()
    for connection in connections:
        connection.close()
    declared.dispose()


def test_dialect_of_a_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known without an engine or a driver; unknown where there is no URL yet, which is no error."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    declared = [
        Database("shop", "postgresql+psycopg://db1/shop"),
        Database("visits", engine=create_engine("sqlite://")),
        Database("bare"),
    ]

    assert ["postgresql", "sqlite", None] == [each and each.name for each in map(dialect_of, declared)]


def test_savepoint_in_sqlite(tmp_path: Path) -> None:
    """Rolling back the transaction takes back what a released savepoint wrote, though it was the first statement."""
    declared = in_file(tmp_path)
    with declared.engine().begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
    with declared.engine().connect() as connection:
        with connection.begin_nested():
            connection.execute(text("INSERT INTO t VALUES (1)"))
        connection.rollback()

        assert 0 == connection.scalar(text("SELECT count(*) FROM t"))
    declared.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_server_that_refuses_connections(driver: str) -> None:
    """SQLAlchemy's OperationalError, as from any engine."""
    declared = Databases(Database("shop", f"postgresql+{driver}://me@127.0.0.1:1/shop"))

    with Session(declared) as session, pytest.raises(OperationalError):
        session.execute(text("SELECT 1"))


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg", "mysql+asyncmy", "mysql+aiomysql"])
def test_server_that_refuses_async_connections(driver: str) -> None:
    """The same from every async driver, asyncpg's bare OSError included."""
    declared = Databases(Database("shop", f"{driver}://me@127.0.0.1:1/shop"))

    async def run() -> None:
        async with AsyncSession(declared) as session:
            await session.execute(text("SELECT 1"))

    with pytest.raises(OperationalError):
        asyncio.run(run())


def test_existing_engine_takes_part(tmp_path: Path) -> None:
    """A session uses the very engine that was given."""
    engine: Engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with Session(Databases(Database("shop", engine=engine))) as session:
        assert engine is session.connection().engine
    engine.dispose()


def wait_for_a_full_pool(databases: Databases) -> float:
    start = time.monotonic()
    with Session(databases, database="shop") as first, Session(databases, database="shop") as second:
        first.execute(text("select 1"))
        with pytest.raises(exc.TimeoutError):
            second.execute(text("select 1"))
    return time.monotonic() - start


def test_pool_timeout_of_a_full_pool(tmp_path: Path) -> None:
    """A pinned session, which takes no slot, waits for its pool no longer than that either."""
    options = {"pool_size": 1, "max_overflow": 0}
    databases = Databases(
        Database("shop", f"sqlite:///{tmp_path}/shop.db", engine_options=options),
        Database("memory", "sqlite://"),  # whose pool takes no such option
        pool_timeout=0.2,
    )
    databases.engine("memory")

    assert 0.1 < wait_for_a_full_pool(databases) < 5
    databases.dispose()


def test_pool_timeout_in_engine_options(tmp_path: Path) -> None:
    """What engine_options say of a database wins."""
    options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1}
    databases = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db", engine_options=options), pool_timeout=60)

    assert wait_for_a_full_pool(databases) < 5
    databases.dispose()
