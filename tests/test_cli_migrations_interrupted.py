"""Ctrl-C: the revisions that are under way end, the report tells the rest, and running again goes on."""

import json
import signal
import subprocess
from typing import IO, Any

import pytest

from tests.commands import commands
from tests.projects import Project, project
from tests.terminals import CTRL_C
from tests.test_cli_migrations_progress import UNTIL_ALLOWED, allow, many

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

STOPPING = "Stopping:"


def stopped(project: Project, process: "subprocess.Popen[str]") -> None:
    """Interrupt it while a revision runs, and let that go on once it has noticed."""
    process.send_signal(signal.SIGINT)
    assert STOPPING in read(process.stderr)
    allow(project)


def read(stream: "IO[str] | None") -> str:
    assert stream is not None
    return stream.readline()


def begun(project: Project, process: "subprocess.Popen[str]") -> None:
    while not (project.folder / "begun").exists():
        assert process.poll() is None


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_interrupted(project: Project, isolation: str) -> None:
    """The revision ends, no other is begun; exit code 130; the second time does the rest."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", UNTIL_ALLOWED)
    project.revision("shop", "r3", "r2", "pass")
    upgrade = ("upgrade", "--yes", "--jobs", "1", "--isolation", isolation)

    with project.started(*upgrade, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begun(project, process)
        stopped(project, process)
        out, err = process.communicate(timeout=60)

    document: Any = json.loads(out)
    assert [130, ""] == [process.returncode, err]
    assert [True, [], {"shop", "audit"}] == [document["interrupted"], document["done"], set(document["pending"])]
    assert "Interrupted." in document["error"]
    assert ["shop: r2", "audit: base"] == project("current").out.splitlines()
    again = project(*upgrade, "--json").json["done"]
    assert {"shop": ["r3"], "audit": ["r1"]} == {each["database"]: each["revisions"] for each in again}


def test_report(project: Project) -> None:
    """Plain text tells what is done, what failed and what is still to be done; no traceback."""
    project.users("shop", "audit")
    project.revision("audit", "r2", "r1", UNTIL_ALLOWED)

    with project.started("upgrade", "--jobs", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begun(project, process)
        stopped(project, process)
        out, err = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert out.startswith("shop: 1 revision, now at r1 (")
    assert "Interrupted. Done: shop, audit. Failed: none. Still to do: none. Run it again to go on.\n" == err


def test_on_a_terminal(project: Project) -> None:
    """As one types it."""
    many(project, 12)
    project.revision("../one", "r2", "r1", UNTIL_ALLOWED)

    with project.on_terminal("upgrade", "--jobs", "2") as terminal:
        terminal.until("r2")
        terminal.type(CTRL_C)
        terminal.until(STOPPING)
        allow(project)
        ended = terminal.end()

    assert 130 == ended
    assert "Done: d000, d001." in terminal.text or "Done: d001, d000." in terminal.text
    assert "Traceback" not in terminal.text
    assert 0 == project("upgrade").code


def test_second_time(project: Project) -> None:
    """It ends at once, and the transaction that was under way is undone."""
    project.revision("shop", "r1", None, UNTIL_ALLOWED)

    with project.started("upgrade", "-d", "shop", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begun(project, process)
        process.send_signal(signal.SIGINT)
        assert STOPPING in read(process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert 130 == process.returncode
    assert set() == project.tables("shop")


@pytest.mark.parametrize("command", ["downgrade", "setup"])
def test_other_commands(project: Project, command: str) -> None:
    """They stop like that too."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", UNTIL_ALLOWED, UNTIL_ALLOWED.replace("create_table", "drop_table"))
    if command == "downgrade":
        allow(project)
        assert 0 == project("upgrade").code
        for each in ("allowed", "begun"):
            (project.folder / each).unlink()
    direction = ["base"] if command == "downgrade" else []

    with project.started(
        command, *direction, "--jobs", "1", "--json", "--yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        begun(project, process)
        stopped(project, process)
        out, _ = process.communicate(timeout=60)

    assert [130, True] == [process.returncode, json.loads(out)["interrupted"]]
    assert "audit" in json.loads(out)["pending"]
