"""What the lifespan does about migrations before an application serves."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL, create_engine

from manybase import ConfigurationError, Database, Databases
from manybase.errors import DestructiveMigration, MigrationFailed, PartlyMigrated, PendingMigrations
from manybase.fastapi import lifespan, running
from manybase.migrations import downgrade, stamp, upgrade
from manybase.testing import rollback
from tests.migrations.revisions import write_revision
from tests.modules import WriteModule
from tests.revisions import IN_DATABASE, tables_at, without_alembic, write_history

NAMES = ("shop", "audit")
HEADS = {"shop": ("users", "products"), "audit": ("entries",)}
PASSWORD = "s3cret"
UNREACHABLE = f"postgresql://me:{PASSWORD}@127.0.0.1:1/nowhere"

pytestmark = [pytest.mark.usefixtures("histories"), pytest.mark.once]


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    for name, revisions in HEADS.items():
        write_history(tmp_path / "migrations" / name, *revisions)
    return tmp_path / "migrations"


def declared(folder: Path, driver: str = "sqlite", **urls: str) -> Databases:
    files = {name: f"{driver}:///{folder / name}.db" for name in NAMES}
    every = {**files, **urls}
    return Databases(*(Database(name, url) for name, url in every.items()), migrations=folder / "migrations")


@pytest.fixture(params=["sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Two databases, empty, with drivers of both kinds, of one and of the other."""
    return declared(tmp_path, request.param)


def start(databases: Databases, migrations: Any) -> int:
    """The status of a route of an application that has started."""
    app = FastAPI(lifespan=lifespan(databases, migrations=migrations))

    @app.get("/")
    def get() -> None: ...

    with TestClient(app) as client:
        return client.get("/").status_code


def tables(databases: Databases) -> dict[str, list[str]]:
    return {name: tables_at(databases[name].resolve_url()) for name in databases.names}


EMPTY: dict[str, list[str]] = {"shop": [], "audit": []}
MIGRATED = {"shop": ["alembic_version", "products", "users"], "audit": ["alembic_version", "entries"]}


def test_off(databases: Databases) -> None:
    """Unless asked, nothing is looked at."""
    app = FastAPI(lifespan=lifespan(databases))
    with TestClient(app):
        pass

    assert 200 == start(databases, "off")
    assert EMPTY == tables(databases)


def test_require_at_head(databases: Databases) -> None:
    """The application starts."""
    upgrade(databases)

    assert 200 == start(databases, "require")


def test_require_behind(databases: Databases) -> None:
    """It does not start; the error tells how far each is behind, and nothing is written."""
    with pytest.raises(PendingMigrations, match="shop: 2 revisions; audit: 1 revision") as error:
        start(databases, "require")

    assert {"shop": 2, "audit": 1} == error.value.pending
    assert EMPTY == tables(databases)


def test_require_one_behind(databases: Databases) -> None:
    """One is enough, and no other is named."""
    upgrade(databases)
    downgrade(databases, "-1", names=["shop"], allow_data_loss=True)

    with pytest.raises(PendingMigrations) as error:
        start(databases, "require")

    assert {"shop": 1} == error.value.pending


@pytest.mark.parametrize("migrations", ["require", "upgrade"])
def test_schema_of_a_newer_program(databases: Databases, histories: Path, migrations: str) -> None:
    """An older one does not start on it, and the error names the revision."""
    write_revision(histories / "audit", "newer", "entries", "pass")
    upgrade(databases)
    (histories / "audit" / "versions" / "newer.py").unlink()

    with pytest.raises((PendingMigrations, PartlyMigrated, MigrationFailed), match=r"'audit' .*newer"):
        start(databases, migrations)


def test_upgrade(databases: Databases) -> None:
    """All are at their head when the application serves; the next start finds nothing to do."""
    assert 200 == start(databases, "upgrade")
    assert MIGRATED == tables(databases)
    assert [200, 200] == [start(databases, "upgrade"), start(databases, "require")]


def test_upgrade_of_several_databases(tmp_path: Path, write_module: WriteModule) -> None:
    """At once: here each waits until the other is there."""
    write_module("meeting", "from threading import Barrier\nbarrier = Barrier(2, timeout=20)")
    for name in NAMES:
        write_history(tmp_path / "meet" / name, "meet", before=f"{IN_DATABASE}; import meeting; meeting.barrier.wait()")
    files = declared(tmp_path)
    databases = Databases(*files, migrations=tmp_path / "meet")

    assert 200 == start(databases, "upgrade")
    assert {"shop": ["alembic_version", "meet"], "audit": ["alembic_version", "meet"]} == tables(databases)


def test_upgrade_that_would_lose_data(databases: Databases, histories: Path) -> None:
    """The application does not start, and nothing is changed, in no database."""
    upgrade(databases, "users", names=["shop"])
    write_revision(histories / "shop", "less", "products", 'op.drop_table("users")')

    with pytest.raises(DestructiveMigration) as error:
        start(databases, "upgrade")

    assert ("shop",) == error.value.databases
    assert {"shop": ["alembic_version", "users"], "audit": []} == tables(databases)


def test_upgrade_that_fails(databases: Databases, histories: Path) -> None:
    """The application does not start; the error tells the database, the revision and why."""
    write_revision(histories / "audit", "wrong", "entries", 'op.execute("SELECT nonsense")')

    with pytest.raises(PartlyMigrated, match=r"Database 'audit' failed in revision wrong\. .*nonsense"):
        start(databases, "upgrade")


@pytest.mark.parametrize("migrations", ["require", "upgrade"])
def test_database_that_does_not_answer(migrations: str, tmp_path: Path) -> None:
    """The error names it, and repeats no password."""
    databases = declared(tmp_path, shop=UNREACHABLE)
    upgrade(databases, names=["audit"])

    with pytest.raises((MigrationFailed, PartlyMigrated), match="Database 'shop' failed") as error:
        start(databases, migrations)

    assert PASSWORD not in str(error.value)


def test_several_databases_that_do_not_answer(tmp_path: Path) -> None:
    """The error names all of them."""
    databases = declared(tmp_path, shop=UNREACHABLE, audit=UNREACHABLE)

    with pytest.raises(PartlyMigrated) as error:
        start(databases, "require")

    assert {*NAMES} == {*error.value.failed}


@pytest.mark.parametrize("migrations", ["require", "upgrade"])
def test_database_in_memory(migrations: str, tmp_path: Path) -> None:
    """It is refused: the thread that migrates would see another one."""
    databases = declared(tmp_path, audit="sqlite://")

    with pytest.raises(ConfigurationError, match="'audit' is in memory"):
        start(databases, migrations)


@pytest.mark.parametrize("migrations", ["require", "upgrade"])
def test_database_without_history(migrations: str, tmp_path: Path) -> None:
    """It is an error to ask for the head of nothing."""
    databases = declared(tmp_path, visits=f"sqlite:///{tmp_path / 'visits'}.db")

    with pytest.raises(ConfigurationError, match="'visits' has no directory"):
        start(databases, migrations)


def test_schema_of_somebody_else(tmp_path: Path) -> None:
    """It is not looked at."""
    theirs = Database("theirs", UNREACHABLE, manage_schema=False)
    databases = Databases(*declared(tmp_path), theirs, migrations=tmp_path / "migrations")

    assert 200 == start(databases, "upgrade")


@pytest.mark.parametrize("wrong", ["on", "", None, True, ["require"]])
def test_wrong_value(wrong: Any, databases: Databases) -> None:
    """It is told where it is written, what it may be."""
    with pytest.raises(ConfigurationError, match="'off', 'require', 'upgrade'"):
        lifespan(databases, migrations=wrong)
    with pytest.raises(ConfigurationError, match="'off', 'require', 'upgrade'"):
        asyncio.run(enter(databases, wrong))


async def enter(databases: Databases, migrations: Any) -> None:
    async with running(databases, migrations=migrations):
        pass


def test_lifespan_of_ones_own(databases: Databases) -> None:
    """`running` does the same."""
    seen: list[str] = []

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[None]:
        async with running(databases, migrations="require"):
            seen.append("running")
            yield

    with pytest.raises(PendingMigrations), TestClient(FastAPI(lifespan=own)):
        pass
    asyncio.run(enter(databases, "upgrade"))
    with TestClient(FastAPI(lifespan=own)):
        pass

    assert ["running"] == seen


def test_inside_rollback(tmp_path: Path) -> None:
    """Tests have made their tables themselves: they are neither looked at nor upgraded."""
    databases = declared(tmp_path)
    with rollback(databases):
        assert [200, 200] == [start(databases, "require"), start(databases, "upgrade")]

    assert EMPTY == tables(databases)


def test_engine_of_the_users_own(tmp_path: Path) -> None:
    """It is migrated through it, and left open."""
    engine = create_engine(f"sqlite:///{tmp_path / 'own'}.db")
    databases = Databases(Database("shop", engine=engine), migrations=tmp_path / "migrations")

    assert 200 == start(databases, "upgrade")
    assert MIGRATED["shop"] == tables_at(engine.url)
    engine.dispose()


@pytest.mark.parametrize("times", [1, 3])
def test_cancelled_meanwhile(times: int, databases: Databases, tmp_path: Path, write_module: WriteModule) -> None:
    """The revision under way is done to its end, and none begins after it; the start waits for that."""
    write_module("gate", "from threading import Event\nbegun, go = Event(), Event()")
    history = tmp_path / "slow"
    wait = "import gate; gate.begun.set(); assert gate.go.wait(20)"
    write_history(history, "first", "second", before=f"{IN_DATABASE}; {wait}")
    alone = Databases(Database("shop", databases["shop"].url, migrations=history))

    async def cancel() -> None:
        import gate  # type: ignore[import-not-found]

        starting = asyncio.create_task(enter(alone, "upgrade"))
        await asyncio.to_thread(gate.begun.wait, 20)
        for _ in range(times):
            starting.cancel()
            await asyncio.wait([starting], timeout=0.05)
        assert not starting.done()
        gate.go.set()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(cancel())

    assert ["alembic_version", "first"] == tables_at(URL.create("sqlite", database=str(tmp_path / "shop.db")))
    with pytest.raises(PendingMigrations) as error:
        start(alone, "require")
    assert {"shop": 1} == error.value.pending


def test_stamped_only(databases: Databases) -> None:
    """What counts is the version that is written down."""
    stamp(databases, "head")

    assert 200 == start(databases, "require")


PROGRAM = """
    import asyncio
    from manybase import ConfigurationError, Database, Databases
    from manybase.fastapi import running

    async def start(migrations):
        async with running(Databases(Database("shop", "sqlite:///{}")), migrations=migrations):
            return "started"

    print(asyncio.run(start("off")))
    for migrations in ("require", "upgrade"):
        try:
            asyncio.run(start(migrations))
        except ConfigurationError as error:
            print(error)
"""


@pytest.mark.parametrize("instead", ["None", "types.ModuleType('alembic')"], ids=["nothing", "a folder of that name"])
def test_alembic_that_is_not_installed(instead: str, tmp_path: Path) -> None:
    """Who needs it is told how to install it, also where the program has a folder of that name."""
    program = without_alembic(PROGRAM.format(tmp_path / "shop.db"), instead)
    run = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    missing = "This needs 'alembic', which is not installed. Install it: pip install 'manybase[migrations]'."
    assert ["started", missing, missing] == run.stdout.splitlines()
