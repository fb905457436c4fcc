"""The lock of a SQLite file: where it is, and what it does where it cannot be."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine

from manybase import Database, Databases
from manybase.errors import MigrationFailed, MigrationLocked
from manybase.migrations.locks import holder, lock
from tests.migrations.lockers import Place, hold, in_child, wait_until


def aside(url: URL | str) -> Engine:
    return Databases(Database("shop", url)).aside("shop")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("shop.db")
    return tmp_path / "shop.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///shop.db",
        "sqlite:///./link.db",
        "sqlite:///file:shop.db?uri=true",
        "sqlite:///file:shop.db?mode=rwc&uri=true",
    ],
)
def test_one_file_has_one_lock(file: Path, url: str) -> None:
    """However its URL is written, the lock is next to the file."""
    with lock(aside(url), "shop", timeout=0):
        with pytest.raises(MigrationLocked), lock(aside(f"sqlite:///{file}"), "other", timeout=0):
            raise AssertionError("two have it")

        assert ["link.db", "shop.db", "shop.db.migrating"] == sorted(path.name for path in file.parent.iterdir())


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&cache=shared&uri=true"]
)
def test_memory_is_nobody_elses(file: Path, url: str) -> None:
    """A database in memory needs no lock, and gets no file."""
    with lock(aside(url), "shop", timeout=0), lock(aside(url), "shop", timeout=0), aside(url).connect() as connection:
        assert holder(connection) is None
        assert ["link.db"] == [path.name for path in file.parent.iterdir()]


def test_two_threads_of_a_process(file: Path) -> None:
    """They exclude each other too."""
    engine = aside(f"sqlite:///{file}")
    errors: list[MigrationLocked] = []

    def second() -> None:
        try:
            with lock(engine, "shop", timeout=0):
                pass
        except MigrationLocked as error:
            errors.append(error)

    with lock(engine, "shop", timeout=0):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(30)

    assert ["shop"] == [error.database for error in errors]


def test_the_file_is_left_empty(file: Path) -> None:
    """Nobody seems to have the lock afterwards."""
    with lock(aside(f"sqlite:///{file}"), "shop", timeout=0):
        pass

    assert "" == Path(f"{file}.migrating").read_text()


def test_what_a_killed_process_wrote(file: Path) -> None:
    """Its name is still in the file, and nobody has the lock."""
    place = Place(URL.create("sqlite", database=str(file)), asyncio=False)

    with in_child(hold, place) as child, place.aside().connect() as connection:
        assert str(holder(connection)).startswith(f"pid {child.pid} ")
        child.kill()
        wait_until(lambda: holder(connection) is None)

    assert f"pid {child.pid} " in Path(f"{file}.migrating").read_text()


def test_a_database_that_is_busy(file: Path) -> None:
    """The lock does not wait for the transaction that somebody has in the file, nor does the question who has it."""
    busy = create_engine(f"sqlite:///{file}")
    engine = aside(f"sqlite:///{file}?timeout=0")

    with busy.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE things (id INTEGER)")
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with lock(engine, "shop", timeout=0), engine.connect() as other:
            assert holder(other) is not None


def test_a_lock_that_cannot_be_taken(file: Path) -> None:
    """The error names the lock's file, and why."""
    Path(f"{file}.migrating").mkdir()

    with pytest.raises(MigrationFailed) as caught, lock(aside(f"sqlite:///{file}"), "shop", timeout=0):
        raise AssertionError("nobody can have it")

    assert f"the file {file}.migrating, cannot be taken: Is a directory" in str(caught.value)


def test_a_link_in_place_of_the_lock(file: Path) -> None:
    """What a link leads to is not written over."""
    precious = file.with_name("precious")
    precious.write_text("everything")
    Path(f"{file}.migrating").symlink_to(precious)

    with pytest.raises(MigrationFailed), lock(aside(f"sqlite:///{file}"), "shop", timeout=0):
        raise AssertionError("nobody can have it")

    assert "everything" == precious.read_text()
