"""What health tells of migrations, on each kind of database, through async drivers and in threads."""

import asyncio
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL, create_engine

from manybase import Database, Databases
from manybase.fastapi import health_router, lifespan
from manybase.health import DatabaseHealth, Health
from manybase.migrations import downgrade, upgrade
from manybase.migrations.locks import lock
from tests.fastapi.serving import eventually
from tests.migrations.revisions import write_revision
from tests.modules import WriteModule
from tests.revisions import SYNC, without_alembic, write_history

ASYNC = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"}
THREADS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    write_history(tmp_path / "migrations" / "shop", "users", "products")
    return tmp_path / "migrations" / "shop"


@pytest.fixture(params=[ASYNC, THREADS], ids=["async", "threads"])
def databases(request: pytest.FixtureRequest, server_url: URL, history: Path) -> Databases:
    backend = "mysql" if server_url.get_backend_name() == "mariadb" else server_url.get_backend_name()
    return over(server_url.set(drivername=request.param[backend]), history)


def over(url: URL | str, history: Path, **options: Any) -> Databases:
    return Databases(Database("shop", url, **options), migrations=history.parent)


def found(health: Health) -> DatabaseHealth:
    (shop,) = asyncio.run(health.check_all(["shop"]))
    return shop


def told(databases: Databases) -> tuple[str, int | None, bool | None]:
    shop = found(Health(databases, timeout=20))
    return shop.status, shop.pending_migrations, shop.lock_active


def test_pending(databases: Databases) -> None:
    """They are counted, also where there is no table of versions yet: a warning."""
    before = told(databases)
    upgrade(databases, "users")

    assert [("warn", 2, False), ("warn", 1, False)] == [before, told(databases)]


def test_at_head(databases: Databases) -> None:
    """All is well."""
    upgrade(databases)

    assert ("ok", 0, False) == told(databases)


def test_locked(databases: Databases) -> None:
    """Somebody migrates it right now."""
    upgrade(databases)
    url = databases["shop"].resolve_url()
    engine = create_engine(url.set(drivername=SYNC[url.get_backend_name()]), isolation_level="AUTOCOMMIT")
    with lock(engine, "shop", timeout=20):
        during = told(databases)
    engine.dispose()

    assert [("ok", 0, True), ("ok", 0, False)] == [during, told(databases)]


def test_unknown_revision(databases: Databases, history: Path) -> None:
    """A newer program has migrated it: how many revisions it lacks cannot be told."""
    write_revision(history, "newer", "products", "pass")
    upgrade(databases)
    (history / "versions" / "newer.py").unlink()

    assert ("ok", None, False) == told(databases)


def test_no_history(sqlite_url: URL, tmp_path: Path) -> None:
    """Nothing is known, be there histories of others or none at all."""
    alone = told(over(sqlite_url, tmp_path / "migrations" / "shop"))
    write_history(tmp_path / "migrations" / "audit", "entries")

    assert [("ok", None, None)] * 2 == [alone, told(over(sqlite_url, tmp_path / "migrations" / "shop"))]


def test_schema_of_somebody_else(sqlite_url: URL, history: Path) -> None:
    """It is not asked."""
    assert ("ok", None, None) == told(over(sqlite_url, history, manage_schema=False))


def test_env_of_the_users_own(sqlite_url: URL, history: Path) -> None:
    """Only that knows where the versions are kept: nothing is known."""
    (history / "env.py").write_text("")

    assert ("ok", None, None) == told(over(sqlite_url, history))


def test_history_that_cannot_be_read(sqlite_url: URL, history: Path) -> None:
    """Nothing is known, and the database is as well as it was."""
    write_revision(history, "broken", "products", "(")

    assert ("ok", None, None) == told(over(sqlite_url, history))


def test_database_in_memory(history: Path) -> None:
    """Another connection would find another database: it is not asked."""
    assert ("ok", None, None) == told(over("sqlite://", history))


def test_database_that_is_down(history: Path) -> None:
    """It fails; nothing else is known."""
    assert ("fail", None, None) == told(over("postgresql://me@127.0.0.1:1/nowhere", history))


def test_history_that_takes_long_to_read(
    sqlite_url: URL, history: Path, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No probe waits for it: that comes with a later one."""
    write_module("gate", "from threading import Event\nbegun, go, ended = Event(), Event(), Event()")
    write_revision(history, "slow", "products", "pass")
    path = history / "versions" / "slow.py"
    path.write_text(f"import gate\ngate.begun.set()\ngate.go.wait(20)\ngate.ended.set()\n{path.read_text()}")
    health = Health(over(sqlite_url, history), timeout=2, keep=0)

    async def ask() -> list[DatabaseHealth]:
        import gate  # type: ignore[import-not-found]

        first = await health.check("shop")
        assert gate.begun.is_set()
        assert not gate.ended.is_set()
        gate.go.set()
        monkeypatch.setattr("manybase.health.RARELY", 0)
        later = await health.check("shop")
        async with asyncio.timeout(20):
            while later.pending_migrations is None:
                later = await health.check("shop")
        return [first, later]

    assert [("ok", None), ("warn", 3)] == [(each.status, each.pending_migrations) for each in asyncio.run(ask())]


def test_how_often(sqlite_url: URL, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For half a minute nobody is asked again, however often it is checked."""
    databases = over(sqlite_url, history)
    health = Health(databases, timeout=20, keep=0)
    assert 2 == found(health).pending_migrations
    upgrade(databases)

    assert 2 == found(health).pending_migrations
    monkeypatch.setattr("manybase.health.RARELY", 0)
    assert 0 == found(health).pending_migrations


def test_details(sqlite_url: URL, history: Path) -> None:
    """They tell it; the application is ready all the same."""
    with TestClient(application(over(sqlite_url, history), "off")) as client:
        details, ready = client.get("/health"), client.get("/readyz")

    assert [200, 200] == [details.status_code, ready.status_code]
    assert "warn" == details.json()["status"]
    assert 2 == details.json()["databases"][0]["pending_migrations"]


def test_startup_without_migrations_of_ours(sqlite_url: URL, history: Path) -> None:
    """What is pending does not matter to an application that did not ask for its head."""
    with TestClient(application(over(sqlite_url, history), "off")) as client:
        assert 200 == client.get("/startupz").status_code


@pytest.mark.parametrize("migrations", ["require", "upgrade"])
def test_startup_at_head(migrations: str, sqlite_url: URL, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that did ask has not started while its database is behind; once it has, it has."""
    monkeypatch.setattr("manybase.health.RARELY", 0)
    databases = over(sqlite_url, history)
    upgrade(databases)
    with TestClient(application(databases, migrations)) as client:

        def status() -> int:
            return client.get("/startupz").status_code

        downgrade(databases, "users", allow_data_loss=True)
        assert 503 == status()
        upgrade(databases)
        eventually(lambda: status() == 200)  # an answer is kept for a second
        downgrade(databases, "users", allow_data_loss=True)
        assert 200 == status()


def application(databases: Databases, migrations: Any) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases, migrations=migrations))
    app.include_router(health_router(databases, details=Depends(lambda: None), timeout=20))
    return app


PROGRAM = """
    import asyncio, sys
    from manybase import Database, Databases
    from manybase.health import Health

    async def check(folder):
        databases = Databases(Database("shop", "sqlite:///{database}"), migrations=folder)
        health = await Health(databases, timeout=20).check("shop")
        print(health.status, health.pending_migrations, "alembic" in sys.modules)

    asyncio.run(check({folder!r}))
"""


def test_alembic_that_is_not_installed(history: Path, tmp_path: Path) -> None:
    """Nothing is known."""
    program = PROGRAM.format(database=tmp_path / "shop.db", folder=str(history.parent))

    assert "ok None True" == output(without_alembic(program))


def test_program_without_migrations(tmp_path: Path) -> None:
    """It does not wait for Alembic to be imported."""
    program = PROGRAM.format(database=tmp_path / "shop.db", folder=str(tmp_path / "none"))

    assert "ok None False" == output([sys.executable, "-W", "error", "-c", dedent(program)])


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
