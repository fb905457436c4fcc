"""Worlds: which backends the databases are on, and the single database that knows the right answers."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import URL, Engine, Table, create_engine, event
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.orm import Session as PlainSession

from manybase import AsyncSession, Database, Databases, Session
from manybase.connecting import begin_before_savepoint
from tests.federation.data import SEED, fill
from tests.federation.models import PARTS, Base
from tests.servers.server import Server
from tests.sessions import assert_idle

T = TypeVar("T")
Body = Callable[[Any], T]

DRIVERS = {
    False: {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql", "sqlite": "sqlite+pysqlite"},
    True: {"postgresql": "postgresql+psycopg", "mariadb": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"},
}
CAN_JOIN = find_spec("manybase.federation") is not None


@dataclass(frozen=True)
class World:
    """Databases on these backends. Where there is none for stock, its tables are in shop."""

    name: str
    oracle: str
    shop: str
    analytics: str | None = None
    stock: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Database -> the parts of the models that live in it."""
        here = ("shop", *(part for part in ("analytics", "stock") if getattr(self, part) is None))
        others = {part: (part,) for part in ("analytics", "stock") if getattr(self, part) is not None}
        return {"shop": here, **others}

    @property
    def backends(self) -> set[str]:
        return {self.oracle, *(getattr(self, name) for name in self.parts)}

    def home(self, table: Table) -> str:
        """The backend that holds a table."""
        for name, parts in self.parts.items():
            if table in tables_of(parts):
                backend: str = getattr(self, name)
                return backend
        raise LookupError(table.name)


PG, MARIADB, SQLITE = "postgresql", "mariadb", "sqlite"
WORLDS = [
    World("pg+pg", PG, PG, PG),
    World("sqlite+sqlite", SQLITE, SQLITE, SQLITE),
    World("pg+mariadb", PG, PG, MARIADB),
    World("mariadb+mariadb", MARIADB, MARIADB, MARIADB),
    World("pg+sqlite", PG, PG, SQLITE),
    World("pg+mariadb+sqlite", PG, PG, MARIADB, SQLITE),
]
# All in one database: what holds there says that the tests and the session are right, whatever the joins are.
ALONE = [World("pg", PG, PG), World("mariadb", MARIADB, MARIADB), World("sqlite", SQLITE, SQLITE)]
ON_EACH_SQLALCHEMY = {("pg+pg", False), ("sqlite+sqlite", False)}


def tables_of(parts: tuple[str, ...]) -> list[Table]:
    models = [model for part in parts for model in PARTS[part]]
    return list(dict.fromkeys(getattr(model, "__table__", model) for model in models))


class Places:
    """The databases of all worlds, made and filled when first asked for; they are shared and nobody commits to them."""

    def __init__(self, server: Callable[[str], Server], folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._urls: dict[tuple[Any, ...], URL] = {}
        self._engines: dict[tuple[str, int], Engine] = {}
        self._running: dict[tuple[str, bool], Running] = {}
        self._stack = ExitStack()

    def oracle(self, backend: str, seed: int = SEED) -> Engine:
        """An engine of plain SQLAlchemy to one database with all the tables."""
        if (backend, seed) not in self._engines:
            engine = create_engine(self.url(backend, ("oracle", *PARTS), seed).set(drivername=DRIVERS[False][backend]))
            self._stack.callback(engine.dispose)
            if backend == SQLITE:
                event.listen(engine, "savepoint", begin_before_savepoint)
            self._engines[backend, seed] = engine
        return self._engines[backend, seed]

    def running(self, world: World, *, asyncio: bool = False) -> "Running":
        """The databases of a world, declared once for all tests that use them."""
        if (world.name, asyncio) not in self._running:
            running = Running(world, self.declare(world, asyncio=asyncio), asyncio=asyncio)
            self._stack.callback(running.close)
            self._running[world.name, asyncio] = running
        return self._running[world.name, asyncio]

    def declare(self, world: World, *, asyncio: bool) -> Databases:
        declared = []
        for name, parts in world.parts.items():
            backend = getattr(world, name)
            url = self.url(backend, (name, *parts)).set(drivername=DRIVERS[asyncio][backend])
            declared.append(Database(name, url, models=[model for part in parts for model in PARTS[part]]))
        return Databases(*declared)

    def url(self, backend: str, name_and_parts: tuple[str, ...], seed: int = SEED) -> URL:
        """A database with the tables of these parts and their rows."""
        wanted = (backend, *name_and_parts, seed)
        if wanted not in self._urls:
            url = self.create(backend, "-".join(map(str, wanted)))
            tables = tables_of(name_and_parts[1:])
            engine = create_engine(url.set(drivername=DRIVERS[False][backend]))
            with engine.begin() as connection:
                Base.metadata.create_all(connection, tables=tables)
                fill(connection, tables, seed)
            engine.dispose()
            self._urls[wanted] = url
        return self._urls[wanted]

    def create(self, backend: str, name: str) -> URL:
        if backend == SQLITE:
            return URL.create("sqlite", database=str(self._folder / f"{name}.db"))
        server = self._server(backend)
        url = server.create_database()
        if server.process is None:  # somebody else's: nothing stays behind
            self._stack.callback(server.drop_database, url)
        return url

    def close(self) -> None:
        self._stack.close()


class Running:
    """A world with its databases, for sync sessions or for async ones in an event loop that stays."""

    def __init__(self, world: World, databases: Databases, *, asyncio: bool) -> None:
        self.world = world
        self.databases = databases
        self.asyncio = asyncio

    def run(self, body: Body[T], **options: Any) -> T:
        """What ``body`` returns for a session, whose work is rolled back; every connection is back in its pool."""
        if self.asyncio:
            return self.run_async(lambda session: session.run_sync(body), **options)
        with Session(self.databases, **options) as session:
            result = body(session)
        assert_idle(self.databases, asyncio=False)
        return result

    def run_async(self, body: Callable[[AsyncSession], Any], **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncSession(self.databases, **options) as session:
                result = await body(session)
            assert_idle(self.databases, asyncio=True)
            return result

        return self.runner.run(main())

    @cached_property
    def runner(self) -> asyncio.Runner:
        return asyncio.Runner()

    def close(self) -> None:
        if not self.asyncio:
            self.databases.dispose()
        elif "runner" in vars(self):
            self.runner.run(self.databases.adispose())
            self.runner.close()


def ask_oracle(engine: Engine, body: Body[T], **options: Any) -> T:
    """What ``body`` returns for a session of plain SQLAlchemy."""
    with PlainSession(engine, **options) as session:
        return body(session)


def with_executor(name: str | None, body: Body[T]) -> Body[T]:
    """``body`` with every statement of its session forced to an executor: "python" or "duckdb"."""
    if name is None:
        return body

    def forced(session: Any) -> T:
        def force(state: ORMExecuteState) -> None:
            state.update_execution_options(federation_executor=name)

        event.listen(session, "do_orm_execute", force)
        return body(session)

    return forced


def params(worlds: list[World], *kinds: bool, always: bool = False) -> list[Any]:
    """Pytest's parameters: worlds, each with sync or async sessions or both, marked with what they need."""
    return [
        pytest.param(
            world, asyncio, id=f"{world}-{'async' if asyncio else 'sync'}", marks=marks(world, asyncio, always=always)
        )
        for world in worlds
        for asyncio in kinds or (False, True)
    ]


def marks(world: World, asyncio: bool, *, always: bool = False) -> list[Any]:
    servers = [getattr(pytest.mark, name) for name in sorted(world.backends - {SQLITE})]
    needed = [*servers, pytest.mark.server] if servers else []
    if (world.name, asyncio) not in ON_EACH_SQLALCHEMY:
        needed.append(pytest.mark.once)
    if not always and not CAN_JOIN and len(world.parts) > 1:
        needed.append(pytest.mark.skip("there are no selects over several databases yet"))
    return needed
