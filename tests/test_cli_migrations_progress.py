"""How migrations are shown while they run: on a terminal, in a log, and where there are many databases."""

import os
import sqlite3
import subprocess

import pytest

from tests.commands import commands
from tests.projects import Project, project

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

UNTIL_ALLOWED = """
op.get_bind().execute(sa.text("SELECT 1")).scalar()  # whoever only looks, without a database, ends here
import pathlib, time
pathlib.Path("begun").touch()
while not pathlib.Path("allowed").exists():
    time.sleep(0.01)
op.create_table("t", sa.Column("id", sa.Integer))
"""
DECLARE = "from manybase import Database, Databases\ndatabases = Databases({})"


def many(project: Project, count: int) -> list[str]:
    """So many databases that share one history."""
    names = [f"d{number:03}" for number in range(count)]
    shared = ", ".join(f"Database({name!r}, 'sqlite:///{name}.db', migrations='one')" for name in names)
    project.write(DECLARE.format(shared))
    project.users("../one")
    return names


def allow(project: Project) -> None:
    (project.folder / "allowed").touch()


def test_on_a_terminal(project: Project) -> None:
    """A line for the database that is running, with its revision and how many there are, and one for all."""
    project.users("shop")
    project.revision("shop", "r2", "r1", UNTIL_ALLOWED)

    with project.on_terminal("upgrade", "-d", "shop") as terminal:
        shown = terminal.until("r2")
        allow(project)
        ended = terminal.end()

    assert 0 == ended
    assert "all databases" in shown
    assert "1/2" in shown
    assert "shop: 2 revisions, now at r2 (" in terminal.text


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(project: Project, variables: dict[str, str], coloured: bool) -> None:
    """There are none where NO_COLOR says so."""
    project.users("shop", "audit")

    with project.on_terminal("upgrade", **variables) as terminal:
        assert 0 == terminal.end()

    assert coloured is any(f"\x1b[{code}" in terminal.text for code in ("3", "38;", "1;3"))


def test_dumb_terminal(project: Project) -> None:
    """Plain lines, as in a log."""
    project.users("shop", "audit")

    with project.on_terminal("upgrade", TERM="dumb") as terminal:
        assert 0 == terminal.end()

    assert "\x1b" not in terminal.text
    assert "shop: 1 revision, now at r1 (" in terminal.text


def test_failure_on_a_terminal(project: Project) -> None:
    """It stays to be read."""
    project.revision("shop", "r1", None, 'op.execute("nonsense")')

    with project.on_terminal("upgrade", "-d", "shop") as terminal:
        assert 1 == terminal.end()

    assert "Database 'shop' failed in revision r1." in terminal.text.replace("\r\n", " ")


def test_waiting_for_a_lock(project: Project) -> None:
    """Who has it is shown to the one that waits, on a terminal and in a log; in the end it has nothing to do."""
    project.revision("shop", "r1", None, UNTIL_ALLOWED)

    with project.started("upgrade", "-d", "shop", stdout=subprocess.PIPE) as first:
        waited_for(project, "begun", first)
        with project.on_terminal("upgrade", "-d", "shop") as terminal:
            terminal.until(f"{first.pid}")
            with project.started("upgrade", "-d", "shop", stderr=subprocess.PIPE, stdout=subprocess.PIPE) as third:
                assert third.stderr is not None
                line = third.stderr.readline()
                allow(project)
                third.communicate(timeout=60)
            assert 0 == terminal.end()
        first.communicate(timeout=60)

    assert [0, 0] == [first.returncode, third.returncode]
    assert "waits for" in terminal.text
    assert line.startswith("shop: waits for ")
    assert str(first.pid) in line


def test_status_shows_who_migrates(project: Project) -> None:
    """As long as it does."""
    project.revision("shop", "r1", None, UNTIL_ALLOWED)

    with project.started("upgrade", "-d", "shop", stdout=subprocess.PIPE) as running:
        waited_for(project, "begun", running)
        during = project("status", "--quick", "--json", "-d", "shop").json
        allow(project)
        running.communicate(timeout=60)

    assert str(running.pid) in during["databases"][0]["locked_by"]
    assert project("status", "--quick", "--json", "-d", "shop").json["databases"][0]["locked_by"] is None


def test_lock_that_is_not_free_in_time(project: Project) -> None:
    """It fails, says who has it, and changes nothing."""
    project.revision("shop", "r1", None, UNTIL_ALLOWED)

    with project.started("upgrade", "-d", "shop", stdout=subprocess.PIPE) as running:
        waited_for(project, "begun", running)
        ran = project("upgrade", "-d", "shop", "--lock-timeout", "0.1", "--json")
        allow(project)
        running.communicate(timeout=60)

    assert 1 == ran.code
    (failed,) = ran.json["failed"]
    assert ["MigrationLocked", 0.1] == [failed["kind"], failed["seconds"]]
    assert str(running.pid) in failed["holder"]


def test_many_on_a_terminal(project: Project) -> None:
    """Those that have ended leave no line: there would be nothing else to be seen."""
    many(project, 30)

    with project.on_terminal("upgrade") as terminal:
        assert 0 == terminal.end()

    assert "now at r1" not in terminal.text
    assert "Done: 30 databases." in terminal.text


def test_many_in_a_log(project: Project) -> None:
    """A line for each that had something to do, and the others as one count."""
    many(project, 30)
    project("upgrade", *[part for number in range(25) for part in ("-d", f"d{number:03}")])

    lines = project("upgrade").out.splitlines()

    assert 6 == len(lines)
    assert "Nothing to do: 25 databases." == lines[-1]
    assert {f"d{number:03}" for number in range(25, 30)} == {line.split(":")[0] for line in lines[:-1]}


def test_downgrade_of_branches(project: Project) -> None:
    """Where a database is afterwards is told as it is, also where it is at several revisions."""
    project.users("shop")
    project.revision("shop", "left", "r1", "pass")
    project.revision("shop", "right", "r1", "pass")

    up = project("upgrade", "heads", "-d", "shop")
    down = project("downgrade", "r1", "-d", "shop")

    with sqlite3.connect(project.folder / "shop.db") as connection:
        stored = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert up.out.startswith("shop: 3 revisions, now at left, right (")
    assert down.out.startswith("shop: 2 revisions, now at r1 (")
    assert [("r1",)] == stored


def waited_for(project: Project, file: str, process: "subprocess.Popen[str]") -> None:
    while not (project.folder / file).exists():
        assert process.poll() is None
        os.sched_yield()
