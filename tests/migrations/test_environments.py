"""env.py files as people write them: what they do is understood, or said not to be."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from manybase import ConfigurationError, Database, Databases, DestructiveMigration, MigrationFailed, PartlyMigrated
from manybase.coordinators import identity_of
from manybase.migrations import (
    How,
    Wanted,
    aupgrade,
    check,
    downgrade,
    ordered,
    require,
    revise,
    run,
    setup,
    status,
    upgrade,
)
from tests.migrations.revisions import write_chain, write_revision
from tests.servers.server import Server

BEGIN = """
from alembic import context
from sqlalchemy import MetaData, engine_from_config, pool

config = context.config
engine = engine_from_config(config.get_section(config.config_ini_section, {}), "sqlalchemy.", poolclass=pool.NullPool)
"""
PLAIN = """
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=MetaData())
    with context.begin_transaction():
        context.run_migrations()
"""


def project(folder: Path, environment: str = PLAIN, begin: str = BEGIN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(begin + environment)
    return folder


def shop(tmp_path: Path, **options: str) -> Databases:
    return Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db", migrations=tmp_path / "alembic"), **options)


def tables(tmp_path: Path, name: str = "shop") -> set[str]:
    engine = create_engine(f"sqlite:///{tmp_path}/{name}.db")
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_one_that_migrates_several_schemas(tmp_path: Path) -> None:
    """Each of its passes counts: a tenant that is added later is behind, and is migrated."""
    loop = """
for tenant in TENANTS:
    with engine.connect() as connection:
        context.configure(connection=connection, version_table=f"v_{tenant}")
        with context.begin_transaction():
            context.run_migrations(tenant=tenant)
"""
    folder = project(tmp_path / "alembic", loop, BEGIN + 'TENANTS = ["one"]\n')
    create = 'op.create_table(f"t_{tenant}", sa.Column("id", sa.Integer))'
    write_revision(folder, "rev001", None, create, argument="tenant")
    upgrade(shop(tmp_path))
    assert {"v_one", "t_one"} == tables(tmp_path)

    project(folder, loop, BEGIN + 'TENANTS = ["one", "two"]\n')
    assert ("rev001",) == status(shop(tmp_path)).done["shop"].pending
    upgrade(shop(tmp_path))

    assert {"v_one", "t_one", "v_two", "t_two"} == tables(tmp_path)
    require(shop(tmp_path))


def test_one_that_swallows_errors(tmp_path: Path) -> None:
    """What did not run to its end is not called migrated."""
    swallowing = "try:\n    " + "\n    ".join(PLAIN.strip().splitlines()) + "\nexcept Exception:\n    pass\n"
    folder = project(tmp_path / "alembic", swallowing)
    write_revision(folder, "rev001", None, "raise RuntimeError")

    with pytest.raises(MigrationFailed, match="without having run all revisions") as caught:
        upgrade(shop(tmp_path))
    assert "rev001" == caught.value.revision


@pytest.mark.parametrize("where", ["revision", "environment"])
def test_one_that_ends_the_program(tmp_path: Path, where: str) -> None:
    """It ends its own database only, and is reported."""
    leave = "raise SystemExit(0)"
    folder = project(tmp_path / "alembic", leave if where == "environment" else PLAIN)
    write_revision(folder, "rev001", None, leave if where == "revision" else "pass")

    with pytest.raises(MigrationFailed, match="exit code 0"):
        upgrade(shop(tmp_path), allow_data_loss=True)


def test_one_from_older_templates(tmp_path: Path) -> None:
    """It sets up logging whether there is a file or not, and asks for -x arguments."""
    older = "from logging.config import fileConfig\nfileConfig(context.config.config_file_name)\n"
    older += (
        "assert context.get_x_argument(as_dictionary=True) == {}\nassert not context.config.cmd_opts.autogenerate\n"
    )
    folder = project(tmp_path / "alembic", older + PLAIN)
    write_chain(folder, 1)

    upgrade(shop(tmp_path))

    assert {"alembic_version", "t1"} == tables(tmp_path)


def test_tables_of_manybase_itself(tmp_path: Path) -> None:
    """They are nobody's drift, with an env.py either."""
    write_chain(project(tmp_path / "alembic"), 0)
    databases = shop(tmp_path)
    identity_of(databases, "shop", asyncio=False)

    assert () == check(databases).done["shop"].differences
    (made,) = revise(databases, None, Wanted("nothing"))
    assert made.path is None


def test_history_that_two_databases_share(tmp_path: Path) -> None:
    """Each can be compared, and a revision is written from the first."""
    folder = project(tmp_path / "alembic")
    (folder / "versions").mkdir()
    (folder / "script.py.mako").write_text('"""${message}"""\n')
    databases = Databases(
        *(Database(name, f"sqlite:///{tmp_path}/{name}.db", migrations=folder) for name in ("eu", "us"))
    )

    outcome = check(databases)

    assert ({}, {"eu": (), "us": ()}) == (outcome.failed, {name: d.differences for name, d in outcome.done.items()})
    assert [None] == [each.path for each in revise(databases, None, Wanted("nothing"))]


def test_password_that_an_error_repeats(tmp_path: Path) -> None:
    """It is hidden."""
    raising = "raise ValueError(\"invalid syntax in 'postgresql://shop:S3cret%40pw@host/shop'\")\n"
    write_chain(project(tmp_path / "alembic", raising), 1)

    with pytest.raises(MigrationFailed) as caught:
        upgrade(shop(tmp_path))
    assert "S3cret" not in str(caught.value)
    assert "postgresql://shop:***@host/shop" in str(caught.value)


def test_settings_in_another_folder_than_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What alembic.ini says is heard from everywhere."""
    folder = project(tmp_path / "alembic")
    write_chain(folder, 1)
    write_revision(tmp_path / "more", "more", "rev001", "pass")
    lines = ("[alembic]", "script_location = alembic", "path_separator = newline", "version_locations =")
    places = (f"    {folder}/versions", f"    {tmp_path}/more/versions")
    (tmp_path / "alembic.ini").write_text("\n".join((*lines, *places)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert ("rev001", "more") == upgrade(shop(tmp_path))[0].revisions


def test_revision_whose_parent_is_gone(tmp_path: Path) -> None:
    write_chain(tmp_path / "alembic", 2)
    (tmp_path / "alembic" / "versions" / "rev001.py").unlink()

    with pytest.raises(ConfigurationError, match="History 'shop'"):
        upgrade(shop(tmp_path))


def test_somebody_who_migrates_between_the_look_and_the_lock(tmp_path: Path) -> None:
    """What nobody agreed to is not done."""
    write_chain(tmp_path / "alembic", 3)
    databases = shop(tmp_path)
    upgrade(databases)

    def meanwhile(_: object) -> None:
        downgrade(databases, "-1", allow_data_loss=True)

    outcome = run(databases, ordered("downgrade", "-1", 5, None), names=None, how=How(), agree=meanwhile)

    assert "Somebody else has migrated it meanwhile" in str(outcome.failed["shop"])
    assert ("rev002",) == status(databases).done["shop"].current


def test_setup_that_would_lose_data(tmp_path: Path) -> None:
    write_chain(tmp_path / "alembic", 1)
    upgrade(shop(tmp_path))
    write_revision(tmp_path / "alembic", "drop", "rev001", 'op.drop_table("t1")')

    with pytest.raises(DestructiveMigration):
        setup(shop(tmp_path))
    assert {"alembic_version", "t1"} == tables(tmp_path)


def test_canary_that_fails_with_keep_going(tmp_path: Path) -> None:
    """Nothing else begins all the same."""
    write_revision(tmp_path / "bad", "bad", None, "raise RuntimeError")
    write_chain(tmp_path / "good", 1)
    databases = Databases(
        Database("one", f"sqlite:///{tmp_path}/one.db", migrations=tmp_path / "bad"),
        Database("two", f"sqlite:///{tmp_path}/two.db", migrations=tmp_path / "good"),
    )

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases, canary=1, keep_going=True)
    assert (["one"], ("two",)) == ([*caught.value.failed], caught.value.pending)
    assert set() == tables(tmp_path, "two")


@pytest.mark.server
@pytest.mark.postgresql
def test_async_engine_that_is_in_use(
    postgresql: Server, create_database: Callable[[Server], URL], tmp_path: Path
) -> None:
    """Its connections belong to the program's event loop, and stay there."""
    url = create_database(postgresql).set(drivername="postgresql+asyncpg")
    write_chain(tmp_path / "shop", 1)

    async def main() -> list[str]:
        engine = create_async_engine(url, pool_size=1, max_overflow=0)
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        databases = Databases(Database("shop", engine=engine, migrations=tmp_path / "shop"))
        await aupgrade(databases)
        async with engine.connect() as connection:
            found = (await connection.exec_driver_sql("SELECT count(*) FROM t1")).scalar()
        await engine.dispose()
        return [str(found)]

    assert ["1"] == asyncio.run(main())


def test_sql_that_is_not_asked_for(tmp_path: Path) -> None:
    write_chain(tmp_path / "alembic", 1)
    with pytest.raises(ConfigurationError, match="--sql"):
        upgrade(shop(tmp_path), "base:head")


@pytest.mark.server
@pytest.mark.postgresql
def test_engine_with_a_pool(postgresql: Server, create_database: Callable[[Server], URL], tmp_path: Path) -> None:
    """Its connections go back without any lock."""
    engine = create_engine(create_database(postgresql).set(drivername="postgresql+psycopg"))
    write_chain(tmp_path / "shop", 1)
    databases = Databases(Database("shop", engine=engine, migrations=tmp_path / "shop"))

    upgrade(databases)

    with engine.connect() as connection:
        assert 0 == connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").scalar()
    assert status(databases).done["shop"].locked_by is None
    engine.dispose()
