"""Alembic's modules, which serve each thread by itself, and the private names that this hangs on."""

import threading
from collections.abc import Iterator
from pathlib import Path

import alembic.context
import alembic.op
import pytest
from alembic import command
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Integer, create_engine, inspect

from manybase.migrations.internals import make_safe_for_threads
from tests.migrations.revisions import write_chain

make_safe_for_threads()


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_private_names() -> None:
    """What we use of Alembic and is not public is there, and does what we think."""
    for proxied in (Operations, EnvironmentContext):
        assert {"_install_proxy", "_remove_proxy"} <= {*dir(proxied)}
        attributes, _ = proxied._setups[proxied]  # type: ignore[attr-defined]
        assert isinstance(attributes, set)
    assert "_proxy" in alembic.op.create_table.__code__.co_names
    assert "_proxy" in alembic.context.configure.__code__.co_names
    for name in ("_upgrade_revs", "_downgrade_revs", "_stamp_revs"):
        assert callable(getattr(ScriptDirectory, name))


def test_threads(tmp_path: Path) -> None:
    """Each thread works on the connection that it was given."""
    meet = threading.Barrier(2)
    found = {}

    def work(name: str) -> None:
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
            meet.wait(10)
            alembic.op.create_table(name, Column("id", Integer))
            meet.wait(10)
            found[name] = inspect(connection).get_table_names()
        engine.dispose()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert {"one": ["one"], "two": ["two"]} == found


def test_outside_of_a_migration() -> None:
    """It says that there is none, as Alembic itself does."""
    with pytest.raises(NameError):
        alembic.op.create_table("t")
    with pytest.raises(NameError):
        _ = alembic.context.config
    with pytest.raises(AttributeError):
        _ = alembic.context.nonsense


def test_one_inside_another(connection: Connection) -> None:
    """The outer one is back when the inner one has ended."""
    with Operations.context(MigrationContext.configure(connection)) as outer:
        with Operations.context(MigrationContext.configure(connection)) as inner:
            assert inner.migration_context is alembic.op.get_context()
        assert outer.migration_context is alembic.op.get_context()


def test_command_of_alembic(tmp_path: Path) -> None:
    """What a program does with Alembic itself goes on working in the same process."""
    command.init(Config(tmp_path / "alembic.ini"), str(tmp_path / "alembic"))
    write_chain(tmp_path / "alembic", 2)
    config = Config()  # the file would set up the logging of this process
    config.set_main_option("script_location", str(tmp_path / "alembic"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{tmp_path / 'db'}")

    command.upgrade(config, "head")

    engine = create_engine(f"sqlite:///{tmp_path / 'db'}")
    assert {"alembic_version", "t1", "t2"} == {*inspect(engine).get_table_names()}
    engine.dispose()
