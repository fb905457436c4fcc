"""Projects as `alembic init` makes them: they are migrated as they are, and Alembic itself agrees afterwards."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, inspect

from manybase import Database, Databases, MigrationFailed
from manybase.migrations import downgrade, status, upgrade
from tests.migrations.revisions import write_chain, write_revision
from tests.servers.server import Server

pytestmark = pytest.mark.once

TEMPLATES = ("generic", "async", "pyproject", "pyproject_async")
DRIVERS = {"sqlite": ("sqlite", "sqlite+aiosqlite"), "postgresql": ("postgresql+psycopg", "postgresql+asyncpg")}
PLACEHOLDER = "driver://user:pass@localhost/dbname"


def alembic(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "alembic", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def tables(url: URL) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def project(folder: Path, template: str, url: URL) -> Path:
    """A fresh project of this template whose settings name this database, as its owner would write it."""
    alembic(folder, "init", "-t", template, "alembic")
    settings = folder / "alembic.ini"
    text = settings.read_text()
    assert PLACEHOLDER in text
    settings.write_text(text.replace(PLACEHOLDER, url.render_as_string(hide_password=False).replace("%", "%%")))
    return folder / "alembic"


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.server, pytest.mark.postgresql])],
)
def url(request: pytest.FixtureRequest, tmp_path: Path, create_database: Callable[[Server], URL]) -> URL:
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "shop.db"))
    return create_database(request.getfixturevalue("postgresql"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_template(template: str, url: URL, tmp_path: Path) -> None:
    """Up, and `alembic current` says the same; half down, and again; and all the way down."""
    sync, asyncio = DRIVERS[url.get_backend_name()]
    url = url.set(drivername=sync)
    named = url.set(drivername=asyncio) if "async" in template else url
    folder = project(tmp_path, template, named)
    write_chain(folder, 3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".py", ".ini", ".toml")}
    databases = Databases(Database("shop", named, migrations=folder))

    (done,) = upgrade(databases)
    assert ((), ("rev003",), ("rev001", "rev002", "rev003")) == (done.before, done.after, done.revisions)
    assert {"alembic_version", "t1", "t2", "t3"} == tables(url)
    assert "rev003 (head)" in alembic(tmp_path, "current")

    downgrade(databases, "-1", allow_data_loss=True)
    assert {"alembic_version", "t1", "t2"} == tables(url)
    downgrade(databases, "base", allow_data_loss=True)
    assert {"alembic_version"} == tables(url)
    assert "" == alembic(tmp_path, "current").strip()
    assert before == {path: path.read_bytes() for path in before}


def test_driver_of_the_other_kind(tmp_path: Path) -> None:
    """A sync env.py migrates a database that is declared with an async driver, and the other way round."""
    for template, drivername in (("generic", "sqlite+aiosqlite"), ("async", "sqlite+pysqlite")):
        place = tmp_path / template
        place.mkdir()
        url = URL.create(drivername, database=str(place / "shop.db"))
        folder = project(place, template, url)
        write_chain(folder, 2)

        upgrade(Databases(Database("shop", url, migrations=folder)))

        assert {"alembic_version", "t1", "t2"} == tables(url.set(drivername="sqlite"))


def test_multidb_template(tmp_path: Path) -> None:
    """One revision for several databases, each of which can be migrated alone."""
    alembic(tmp_path, "init", "-t", "multidb", "alembic")
    urls = {name: URL.create("sqlite", database=str(tmp_path / f"{name}.db")) for name in ("engine1", "engine2")}
    settings = tmp_path / "alembic.ini"
    text = settings.read_text()
    text = text.replace("driver://user:pass@localhost/dbname2", str(urls["engine2"]))
    settings.write_text(text.replace(PLACEHOLDER, str(urls["engine1"])))
    path = write_revision(
        tmp_path / "alembic",
        "rev001",
        None,
        'globals()[f"upgrade_{engine_name}"]()',
        'globals()[f"downgrade_{engine_name}"]()',
        argument="engine_name",
    )
    with path.open("a") as file:
        for name in urls:
            file.write(f"\n\ndef upgrade_{name}():\n    op.create_table('of_{name}', sa.Column('id', sa.Integer))\n")
            file.write(f"\n\ndef downgrade_{name}():\n    op.drop_table('of_{name}')\n")
    databases = Databases(*(Database(name, url, migrations=tmp_path / "alembic") for name, url in urls.items()))

    upgrade(databases, names=["engine2"])
    assert (set(), {"alembic_version", "of_engine2"}) == (tables(urls["engine1"]), tables(urls["engine2"]))

    upgrade(databases)
    assert {"alembic_version", "of_engine1"} == tables(urls["engine1"])
    assert 2 == alembic(tmp_path, "current").count("rev001 (head)")
    downgrade(databases, "base", allow_data_loss=True)
    assert {"alembic_version"} == tables(urls["engine1"]) == tables(urls["engine2"])


def test_environment_that_connects_elsewhere(tmp_path: Path) -> None:
    """An env.py with a URL of its own would migrate that database for each of ours: nothing is done, and it is said."""
    folder = project(tmp_path, "generic", URL.create("sqlite", database=str(tmp_path / "other.db")))
    write_chain(folder, 1)
    env = folder / "env.py"
    env.write_text(
        env.read_text().replace(
            "    connectable = engine_from_config(",
            f'    config.set_main_option("sqlalchemy.url", "sqlite:///{tmp_path}/other.db")\n'
            "    connectable = engine_from_config(",
        )
    )
    databases = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db", migrations=folder))

    with pytest.raises(MigrationFailed, match="connects to another database than the declared one"):
        upgrade(databases)

    assert set() == tables(URL.create("sqlite", database=str(tmp_path / "other.db")))


def test_version_table_of_ones_own(tmp_path: Path) -> None:
    """What a database is at is read where its env.py keeps it."""
    folder = project(tmp_path, "generic", URL.create("sqlite", database=str(tmp_path / "shop.db")))
    names = write_chain(folder, 2)
    env = folder / "env.py"
    text = env.read_text()
    env.write_text(text.replace("target_metadata=target_metadata\n", "target_metadata=None, version_table='v'\n"))
    assert text != env.read_text()
    databases = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db", migrations=folder))

    upgrade(databases)

    assert {"v", "t1", "t2"} == tables(URL.create("sqlite", database=str(tmp_path / "shop.db")))
    assert (names[-1],) == status(databases).done["shop"].current
