"""`--isolation process`: each database in a process of its own, and one report of all of them."""

import os
import sys

import pytest

from tests.commands import commands
from tests.projects import DOWN, Project, project
from tests.test_secrets import TRACE

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

ENVIRONMENT = """
import os
from alembic import context
from sqlalchemy import create_engine

url = context.config.get_main_option("sqlalchemy.url")
assert url == os.environ.setdefault("MIGRATED", url), "another database was here before"
print("printed")
engine = create_engine(url)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture
def isolated(project: Project) -> Project:
    project.users("shop", "audit")
    return project


def test_upgrade(isolated: Project) -> None:
    """As without it; what is there already is passed over."""
    isolated.revision("shop", "r2", "r1", "pass")

    first, second = isolated("upgrade", "--isolation", "process"), isolated("upgrade", "--isolation", "process")

    assert [0, "", 0] == [first.code, first.err, second.code]
    assert {"audit: 1 revision, now at r1", "shop: 2 revisions, now at r2"} == {
        line.partition(" (")[0] for line in first.out.splitlines()
    }
    assert "Nothing to do: 2 databases.\n" == second.out
    assert {"users"} == isolated.tables("shop") == isolated.tables("audit")


def test_downgrade_as_json(isolated: Project) -> None:
    """One document, merged from theirs."""
    isolated("upgrade")

    document = isolated("downgrade", "-1", "--isolation", "process", "--json", "--yes").json

    assert {"shop", "audit"} == {each["database"] for each in document["done"]}
    assert [["r1"], []] == [document["done"][0][each] for each in ("before", "after")]


def test_environment_that_changes_its_process(isolated: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs in a fresh one."""
    monkeypatch.setenv("MIGRATED", "")
    monkeypatch.delenv("MIGRATED")  # and again at the end
    for name in ("shop", "audit"):
        (isolated.folder / "migrations" / name / "env.py").write_text(ENVIRONMENT)

    together = isolated("upgrade", "--json", "--yes", "--jobs", "1")
    os.environ.pop("MIGRATED")
    ran = isolated("upgrade", "--isolation", "process", "--json", "--yes", "--jobs", "1")

    assert 1 == together.code
    assert [0, {"shop", "audit"}] == [ran.code, {each["database"] for each in ran.json["done"]}]


def test_failures(isolated: Project) -> None:
    """They are told as they were in their processes: the database, the revision, what stays applied."""
    isolated.revision("shop", "r2", "r1", 'op.execute("nonsense")')

    ran = isolated("upgrade", "--isolation", "process", "--json", "--keep-going")

    (failed,) = ran.json["failed"]
    assert [3, "MigrationFailed", "r2", ["r1"]] == [
        ran.code,
        *(failed[each] for each in ("kind", "revision", "applied")),
    ]
    assert 1 == failed["error"].count("Database 'shop' failed in revision r2.")
    assert ["audit"] == [each["database"] for each in ran.json["done"]]


def test_database_that_is_down(project: Project) -> None:
    """Nothing is begun, and no secret is told."""
    project.declare(shop="sqlite:///shop.db", down=DOWN)
    project.users("shop", "down")

    ran = project("upgrade", "--isolation", "process")

    assert [1, ""] == [ran.code, ran.out]
    assert "Database 'down' failed." in ran.err
    assert "Not begun: shop." in ran.err
    assert TRACE not in ran.err


def test_unknown_revision(isolated: Project) -> None:
    """It is not understood, as without processes."""
    ran = isolated("upgrade", "nosuch", "--isolation", "process")

    assert [2, ""] == [ran.code, ran.out]
    assert "Can't locate revision identified by 'nosuch'" in ran.err


def test_process_that_is_killed(isolated: Project) -> None:
    """That database has failed; there is no traceback of its process."""
    isolated.revision(
        "shop", "r2", "r1", 'op.get_bind().execute(sa.text("SELECT 1")).scalar()\nimport os\nos.kill(os.getpid(), 9)'
    )

    ran = isolated("upgrade", "--isolation", "process", "-d", "shop")

    assert [1, ""] == [ran.code, ran.out]
    assert "Database 'shop' failed. Its process ended with exit code -9, and without a report." in ran.err


def test_database_in_memory(project: Project) -> None:
    """It is refused: the process would migrate another one."""
    project.declare(memory="sqlite://")
    project.users("memory")

    ran = project("upgrade", "--isolation", "process")

    assert 2 == ran.code
    assert "Database 'memory' is in memory" in ran.err


def test_application_of_the_project(isolated: Project) -> None:
    """The processes find it as we do."""
    (isolated.folder / "pyproject.toml").write_text("[tool.manybase]\napp = 'app:databases'")

    ran = isolated.commands("upgrade", "--isolation", "process")

    assert 0 == ran.code
    assert sys.modules.pop("app")
    assert {"users"} == isolated.tables("shop")
