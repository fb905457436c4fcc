"""Several databases brought to a revision: what is done, what is not, and what is said about it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, inspect

from manybase import (
    ConfigurationError,
    Database,
    Databases,
    DestructiveMigration,
    MigrationFailed,
    PartlyMigrated,
    PendingMigrations,
    UnknownDatabase,
)
from manybase.migrations import Silent, aupgrade, downgrade, merge, require, stamp, status, upgrade
from manybase.migrations.locks import lock
from tests.migrations.revisions import write_chain, write_revision
from tests.servers.server import Server

PASSWORD = "hunter2secret"
BROKEN = 'op.create_table("half", sa.Column("id", sa.Integer))\nop.execute("SELECT nonsense")'


def files(tmp_path: Path, *names: str) -> Databases:
    return Databases(*(Database(name, f"sqlite:///{tmp_path}/{name}.db", migrations=tmp_path / name) for name in names))


def tables(url: URL | str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def current(databases: Databases) -> dict[str, tuple[str, ...]]:
    return {name: state.current for name, state in status(databases).done.items()}


def assert_each_wrote_into_its_own(urls: dict[str, URL], count: int) -> None:
    for url in urls.values():
        engine = create_engine(url)
        with engine.connect() as connection:
            for number in range(1, count + 1):
                who = connection.exec_driver_sql(f"SELECT who FROM t{number}").scalars().all()
                assert [url.database] == who
        engine.dispose()


def test_many_at_once(tmp_path: Path) -> None:
    """Each revision runs in its own database, whatever runs beside it; async-only drivers too."""
    urls = {f"d{n}": URL.create("sqlite", database=str(tmp_path / f"{n}.db")) for n in range(24)}
    write_chain(tmp_path / "history", 3, pause=0.005)
    declared = [
        url.set(drivername="sqlite+aiosqlite") if number % 3 == 0 else url for number, url in enumerate(urls.values())
    ]
    databases = Databases(
        *(Database(name, url, migrations=tmp_path / "history") for name, url in zip(urls, declared, strict=True))
    )

    done = upgrade(databases, jobs=8)

    assert {*urls} == {each.database for each in done}
    assert_each_wrote_into_its_own(urls, 3)


@pytest.mark.server
@pytest.mark.postgresql
@pytest.mark.mariadb
def test_many_at_once_on_servers(
    postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], tmp_path: Path
) -> None:
    """The same there, with sync and async drivers side by side."""
    urls = {f"pg{n}": create_database(postgresql).set(drivername="postgresql+psycopg") for n in range(6)}
    urls |= {f"my{n}": create_database(mariadb).set(drivername="mysql+pymysql") for n in range(6)}
    asynchronous = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
    write_chain(tmp_path / "history", 3, pause=0.01)
    declared = {
        name: url.set(drivername=asynchronous[url.get_backend_name()]) if name.endswith(("1", "3")) else url
        for name, url in urls.items()
    }
    databases = Databases(*(Database(name, url, migrations=tmp_path / "history") for name, url in declared.items()))

    upgrade(databases, jobs=8)

    assert_each_wrote_into_its_own(urls, 3)


def test_one_of_several_fails(tmp_path: Path) -> None:
    """Its revision leaves nothing, those before it stay, the others that had begun end; then it goes on from there."""
    databases = files(tmp_path, "one", "two", "three")
    for name in ("one", "three"):
        write_chain(tmp_path / name, 1)
    write_chain(tmp_path / "two", 1)
    broken = write_revision(tmp_path / "two", "bad", "rev001", BROKEN)

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases, jobs=1)

    assert (("one",), ["two"], ("three",)) == (caught.value.done, [*caught.value.failed], caught.value.pending)
    failure = caught.value.failed["two"]
    assert isinstance(failure, MigrationFailed)
    assert ("bad", ("rev001",)) == (failure.revision, failure.applied)
    assert "no such column: nonsense" in str(failure)
    assert {"alembic_version", "t1"} == tables(f"sqlite:///{tmp_path}/two.db")

    broken.write_text(broken.read_text().replace('op.execute("SELECT nonsense")', "pass"))
    assert [("rev001",), ("bad",), ("rev001",)] == [each.after for each in upgrade(databases)]
    assert {"alembic_version", "t1", "half"} == tables(f"sqlite:///{tmp_path}/two.db")


def test_keep_going(tmp_path: Path) -> None:
    """The others are migrated all the same, also where one does not even answer."""
    databases = Databases(
        Database("bad", f"sqlite:///{tmp_path}/bad.db", migrations=tmp_path / "bad"),
        Database("away", f"sqlite:///{tmp_path}/nowhere/away.db", migrations=tmp_path / "good"),
        Database("good", f"sqlite:///{tmp_path}/good.db", migrations=tmp_path / "good"),
    )
    write_revision(tmp_path / "bad", "bad", None, BROKEN)
    write_chain(tmp_path / "good", 1)

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases, keep_going=True)
    assert (("good",), {"bad", "away"}, ()) == (caught.value.done, {*caught.value.failed}, caught.value.pending)

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases)
    assert "unable to open database file" in str(caught.value.failed["away"])


def test_one_that_does_not_answer(tmp_path: Path) -> None:
    """All are looked at first: then nothing is begun anywhere."""
    databases = Databases(
        Database("good", f"sqlite:///{tmp_path}/good.db", migrations=tmp_path / "good"),
        Database("away", f"sqlite:///{tmp_path}/nowhere/away.db", migrations=tmp_path / "good"),
    )
    write_chain(tmp_path / "good", 1)

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases, jobs=1)

    assert ((), ["away"], ("good",)) == (caught.value.done, [*caught.value.failed], caught.value.pending)
    assert set() == tables(f"sqlite:///{tmp_path}/good.db")


def test_canary(tmp_path: Path) -> None:
    """If the first fails, none of the others begins, not even with keep_going."""
    databases = files(tmp_path, "one", "two", "three")
    write_revision(tmp_path / "one", "bad", None, BROKEN)
    for name in ("two", "three"):
        write_chain(tmp_path / name, 1)

    with pytest.raises(PartlyMigrated) as caught:
        upgrade(databases, canary=1)

    assert ((), ["one"], ("two", "three")) == (caught.value.done, [*caught.value.failed], caught.value.pending)
    assert set() == tables(f"sqlite:///{tmp_path}/two.db")


@pytest.mark.server
@pytest.mark.mariadb
def test_half_a_revision_on_mariadb(mariadb_url: URL, tmp_path: Path) -> None:
    """What stays of it is told, with the way out, which works."""
    url = mariadb_url.set(drivername="mysql+pymysql")
    databases = Databases(Database("shop", url, migrations=tmp_path / "shop"))
    write_chain(tmp_path / "shop", 1)
    write_revision(tmp_path / "shop", "bad", "rev001", BROKEN)
    write_revision(tmp_path / "shop", "next", "bad", 'op.create_table("more", sa.Column("id", sa.Integer))')

    with pytest.raises(MigrationFailed) as caught:
        upgrade(databases)

    told = str(caught.value)
    assert "CREATE TABLE half" in told
    assert "CREATE TABLE t1" not in told
    assert "manybase stamp bad -d shop" in told
    assert (("rev001",), "bad") == (caught.value.applied, caught.value.revision)
    stamp(databases, "bad")
    upgrade(databases)
    assert {"alembic_version", "t1", "half", "more"} == tables(url)


@pytest.mark.server
@pytest.mark.postgresql
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_failed_revision_on_postgresql(postgresql_url: URL, tmp_path: Path, driver: str) -> None:
    """Nothing of it is left, and what came before it is; an index can be built concurrently under the lock."""
    databases = Databases(
        Database("shop", postgresql_url.set(drivername=f"postgresql+{driver}"), migrations=tmp_path / "shop")
    )
    write_chain(tmp_path / "shop", 1)
    concurrently = """
    with op.get_context().autocommit_block():
        op.create_index("ix", "t1", ["who"], postgresql_concurrently=True)
    """
    write_revision(tmp_path / "shop", "index", "rev001", concurrently)
    write_revision(tmp_path / "shop", "bad", "index", BROKEN)

    with pytest.raises(MigrationFailed) as caught:
        upgrade(databases)

    assert (("rev001", "index"), "bad") == (caught.value.applied, caught.value.revision)
    url = postgresql_url.set(drivername="postgresql+psycopg")
    assert {"alembic_version", "t1"} == tables(url)
    engine = create_engine(url)
    assert ["ix"] == [each["name"] for each in inspect(engine).get_indexes("t1")]
    engine.dispose()


@pytest.mark.server
@pytest.mark.postgresql
@pytest.mark.mariadb
@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
def test_wrong_password_and_server_that_is_down(
    backend: str, request: pytest.FixtureRequest, create_database: Callable[[Server], URL], tmp_path: Path
) -> None:
    """It says which database it is, quickly, and no secret."""
    url = create_database(request.getfixturevalue(backend))
    write_chain(tmp_path / "shop", 1)
    for wrong, known in (
        (url.set(port=1, password=PASSWORD), "refused"),
        (url.set(username="nobody", password=PASSWORD), ""),
        (url.set(database="missing", password=PASSWORD), ""),
    ):
        databases = Databases(Database("shop", wrong, migrations=tmp_path / "shop"))
        started = time.monotonic()
        with pytest.raises(MigrationFailed, match="Database 'shop' failed") as caught:
            upgrade(databases)
        assert time.monotonic() - started < 10
        assert known in str(caught.value)
        assert PASSWORD not in f"{caught.value}{caught.value!r}"


def test_heads_that_diverged(tmp_path: Path) -> None:
    """It offers to join them, which works; or all of them can be taken."""
    databases = files(tmp_path, "shop")
    write_chain(tmp_path / "shop", 1)
    for name in ("left", "right"):
        write_revision(tmp_path / "shop", name, "rev001", f'op.create_table("{name}", sa.Column("id", sa.Integer))')

    with pytest.raises(MigrationFailed, match="manybase merge heads"):
        upgrade(databases)
    assert set() == tables(f"sqlite:///{tmp_path}/shop.db")
    upgrade(databases, "heads")
    assert {"shop": ("left", "right")} == current(databases)

    (made,) = merge(databases, None, message="join")
    assert made.revision is not None
    upgrade(files(tmp_path, "shop"))
    assert {"shop": (made.revision,)} == current(files(tmp_path, "shop"))
    assert [] == merge(files(tmp_path, "shop"), None)


def test_what_does_not_exist(tmp_path: Path) -> None:
    """A revision, a database, a directory: said with what there is."""
    databases = files(tmp_path, "shop")
    with pytest.raises(ConfigurationError, match="manybase init"):
        upgrade(databases)
    write_chain(tmp_path / "shop", 1)
    with pytest.raises(MigrationFailed, match="manybase history"):
        upgrade(databases, "nonsense")
    with pytest.raises(UnknownDatabase, match="Declared: shop"):
        upgrade(databases, names=["biling"])
    with pytest.raises(ConfigurationError, match="jobs is at least 1"):
        upgrade(databases, jobs=0)


def test_revision_that_cannot_be_read(tmp_path: Path) -> None:
    databases = files(tmp_path, "shop")
    write_chain(tmp_path / "shop", 1)
    (tmp_path / "shop" / "versions" / "wrong.py").write_text("def upgrade(:")

    with pytest.raises(ConfigurationError, match=r"History 'shop'.*cannot be read"):
        upgrade(databases)


def test_schema_of_somebody_else(tmp_path: Path) -> None:
    """It is left alone, and refused where it is named."""
    databases = Databases(
        Database("shop", f"sqlite:///{tmp_path}/shop.db", migrations=tmp_path / "shop"),
        Database("theirs", f"sqlite:///{tmp_path}/theirs.db", manage_schema=False),
    )
    write_chain(tmp_path / "shop", 1)

    assert ["shop"] == [each.database for each in upgrade(databases)]
    with pytest.raises(ConfigurationError, match="manage_schema=False"):
        upgrade(databases, names=["theirs"])


def test_data_that_would_be_lost(tmp_path: Path) -> None:
    """Nothing is changed in any database, unless somebody agreed."""
    databases = files(tmp_path, "one", "two")
    for name in databases.names:
        write_chain(tmp_path / name, 1)
    upgrade(databases)
    write_chain(tmp_path / "one", 2)
    write_revision(tmp_path / "two", "drop", "rev001", 'op.drop_table("t1")')
    databases = files(tmp_path, "one", "two")

    with pytest.raises(DestructiveMigration, match="two: table t1") as caught:
        upgrade(databases)
    assert ("two",) == caught.value.databases
    assert {"one": ("rev001",), "two": ("rev001",)} == current(databases)
    with pytest.raises(DestructiveMigration):
        downgrade(databases, "base")

    upgrade(databases, allow_data_loss=True)
    assert {"one": ("rev002",), "two": ("drop",)} == current(databases)


def test_program_that_asks_whether_it_may_start(tmp_path: Path) -> None:
    """It is told what is behind and what is unknown to it; and nothing is written, not even an empty file's table."""
    databases = files(tmp_path, "one", "two")
    for name in databases.names:
        write_chain(tmp_path / name, 2)
    upgrade(databases, "rev001", names=["one"])

    with pytest.raises(PendingMigrations) as caught:
        require(databases)
    assert {"one": 1, "two": 2} == caught.value.pending
    assert set() == tables(f"sqlite:///{tmp_path}/two.db")

    upgrade(databases)
    require(databases)
    (tmp_path / "one" / "versions" / "rev002.py").unlink()
    with pytest.raises(PendingMigrations, match="a newer program migrated it") as caught:
        require(files(tmp_path, "one", "two"))
    assert ({}, {"one": ("rev002",)}) == (caught.value.pending, caught.value.unknown)


def test_under_asyncio(tmp_path: Path) -> None:
    databases = files(tmp_path, "one", "two")
    for name in databases.names:
        write_chain(tmp_path / name, 1)

    assert [("rev001",), ("rev001",)] == [each.after for each in asyncio.run(aupgrade(databases))]

    with pytest.raises(ConfigurationError, match="in memory"):
        asyncio.run(aupgrade(Databases(Database("memory", "sqlite+aiosqlite://", migrations=tmp_path / "one"))))


def test_task_that_is_cancelled(tmp_path: Path) -> None:
    """It ends once the revision under way has, and nothing is half done; the next one goes on."""
    databases = files(tmp_path, "shop")
    write_chain(tmp_path / "shop", 5, pause=0.2)

    async def main() -> None:
        task = asyncio.create_task(aupgrade(databases))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    (at,) = current(databases)["shop"] or ("none",)
    assert at in ("none", "rev001", "rev002", "rev003")
    assert ("rev005",) == upgrade(databases)[0].after


def test_interruption_while_somebody_else_has_the_lock(tmp_path: Path) -> None:
    """It does not wait until the end of its patience."""
    databases = files(tmp_path, "shop")
    write_chain(tmp_path / "shop", 1)

    class Interrupting(Silent):
        def waits(self, database: str, holder: str) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with lock(engine, "shop", timeout=1), pytest.raises(KeyboardInterrupt):
        upgrade(databases, lock_timeout=600, observer=Interrupting())
    engine.dispose()

    assert set() == tables(f"sqlite:///{tmp_path}/shop.db")


def test_database_in_memory(tmp_path: Path) -> None:
    """It is migrated in the thread of its user, who finds the tables there."""
    write_chain(tmp_path / "memory", 2)
    databases = Databases(Database("memory", "sqlite://", migrations=tmp_path / "memory"))

    upgrade(databases)

    assert {"alembic_version", "t1", "t2"} == set(inspect(databases.engine("memory")).get_table_names())
    databases.dispose()


def test_revisions_of_a_history_that_is_shared(tmp_path: Path) -> None:
    """Two databases with the same directory; one that is added later touches no old revision."""
    write_chain(tmp_path / "regions", 2)
    folder = tmp_path / "regions"
    eu, us = (Database(name, f"sqlite:///{tmp_path}/{name}.db", migrations=folder) for name in ("eu", "us"))
    upgrade(Databases(eu))
    databases = Databases(eu, us)

    assert [(), ("rev001", "rev002")] == [each.revisions for each in upgrade(databases)]
    assert {"eu": ("rev002",), "us": ("rev002",)} == current(databases)
