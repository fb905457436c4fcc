"""Revisions, run without a database and without a trace."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Barrier
from typing import Any

import alembic.op
import pytest
from alembic.operations import MigrateOperation, Operations
from alembic.util import ModuleClsProxy

from manybase.migrations.lint import risks
from tests.migrations.lint.histories import (
    MYSQL,
    POSTGRESQL,
    SQLITE,
    USERS,
    revisions,
    told,
)

AUTOCOMMIT = "with op.get_context().autocommit_block(): "


def test_a_downgrade(tmp_path: Path) -> None:
    """What it would lose is told, and what the upgrade would do is not."""
    scripts = revisions(tmp_path, "op.rename_table('a', 'b')", downgrade="op.drop_table('users')")

    found = risks(scripts, POSTGRESQL, upgrade=False)

    assert [("r0", "data loss", USERS, True)] == [
        (each.revision, each.kind, each.where, each.loses_data) for each in found
    ]
    assert [("rename", "table a")] == told(risks(scripts, POSTGRESQL))


def test_each_risk_names_its_revision(tmp_path: Path) -> None:
    """In the order in which they run, also after one that fails without a database."""
    upgrades = ["op.rename_table('a', 'b')", "1 / 0", "op.drop_table('c')"]

    found = risks(revisions(tmp_path, *upgrades), MYSQL)

    assert [("r0", "rename"), ("r1", "unknown"), ("r2", "data loss")] == [(each.revision, each.kind) for each in found]
    assert "without a database it fails (ZeroDivisionError)" in found[1].message


def test_the_error_of_a_revision_is_not_told(tmp_path: Path) -> None:
    """Its text could be anything, a password among others."""
    found = risks(revisions(tmp_path, "raise ValueError('hunter2')"), MYSQL)

    assert "hunter2" not in repr(found)


def test_operations_of_others_are_done_into_the_void(tmp_path: Path) -> None:
    """What they execute is read."""

    @Operations.register_operation("empty_table")
    class EmptyTable(MigrateOperation):
        def __init__(self, name: str) -> None:
            self.name = name

        @classmethod
        def empty_table(cls, operations: Operations, name: str) -> Any:
            return operations.invoke(cls(name))

    @Operations.implementation_for(EmptyTable)
    def empty_table(operations: Operations, operation: EmptyTable) -> None:
        operations.execute(f"DELETE FROM {operation.name}")

    try:
        assert [("data loss", USERS)] == told(risks(revisions(tmp_path, "op.empty_table('users')"), SQLITE))
    finally:
        del Operations.empty_table  # type: ignore[attr-defined]
        vars(alembic.op).pop("empty_table", None)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a database Alembic would write the SQL to stdout."""
    risks(revisions(tmp_path, "op.get_context().impl.static_output('SELECT 1')"), POSTGRESQL)
    risks(revisions(tmp_path, AUTOCOMMIT + "op.drop_table('users')", "op.execute('SELECT 1')"), POSTGRESQL)

    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("upgrade", ["pass", "1 / 0", "raise KeyboardInterrupt"])
def test_nothing_stays_installed(tmp_path: Path, upgrade: str) -> None:
    """Afterwards `op` belongs to nobody, however a revision ended."""
    scripts = revisions(tmp_path, upgrade)

    with suppress(KeyboardInterrupt):
        risks(scripts, POSTGRESQL)

    with pytest.raises((NameError, AttributeError)):
        alembic.op.execute("SELECT 1")


@pytest.fixture(params=["Alembic's own proxy", "a proxy for each thread"])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the functions of `op` find the operations that are under way."""
    current: ContextVar[Any] = ContextVar("current")

    class Dispatcher:
        def __getattr__(self, name: str) -> Any:
            return getattr(current.get(), name)

    own = request.param == "Alembic's own proxy"
    install, remove = (ModuleClsProxy._install_proxy, ModuleClsProxy._remove_proxy) if own else (current.set, id)
    monkeypatch.setitem(vars(alembic.op), "_proxy", None if own else Dispatcher())
    monkeypatch.setattr(Operations, "_install_proxy", lambda self: install(self))
    monkeypatch.setattr(Operations, "_remove_proxy", lambda self: remove(self))


@pytest.mark.usefixtures("proxy")
def test_several_threads_at_once(tmp_path: Path) -> None:
    """Each gets the risks of its own revisions."""
    names = [f"t{number}" for number in range(6)]
    histories = {}
    for name in names:
        (tmp_path / name).mkdir()
        pause = f"__import__('time').sleep(0.005)\nop.drop_table('{name}')"
        histories[name] = revisions(tmp_path / name, *[pause] * 3)
    together = Barrier(len(names))

    def lint(name: str) -> list[str]:
        together.wait()
        return [each.where for each in risks(histories[name], POSTGRESQL)]

    with ThreadPoolExecutor(len(names)) as threads:
        assert [[f"table {name}"] * 3 for name in names] == list(threads.map(lint, names))
