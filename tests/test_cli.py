"""The command line: what it loads, how it refuses, and how it exits."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands, commands
from tests.test_secrets import PASSWORD, TRACE, url

__all__ = ["commands"]

HELP = """
import sys, manybase
before = set(sys.modules)
from manybase.cli import main
try:
    main(["--help"])
except SystemExit as done:
    assert done.code == 0
new = set(sys.modules) - before
print(sorted(each for each in new if each.startswith(("sqlalchemy", "manybase")) and "manybase.cli" not in each))
"""


def test_help() -> None:
    """It names the commands, and needs no module of SQLAlchemy or manybase that `import manybase` does not need."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", HELP], capture_output=True, text=True, check=True)

    assert "in-doubt" in done.stdout
    assert "[]" == done.stdout.splitlines()[-1]


def test_extra_that_is_missing(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr("manybase.cli.find_spec", lambda name: None if name == "rich" else object())

    ran = commands("--help")

    assert [2, ""] == [ran.code, ran.out]
    assert "needs rich" in ran.err
    assert "pip install 'manybase[cli]'" in ran.err


@pytest.mark.parametrize(
    ("source", "attribute", "said"),
    [
        ("", "databases", "is not there. There are no Databases in it."),
        ("databases = 3", "databases", "is of type int, not Databases. There are no Databases in it."),
        ("from manybase import *\nmine = Databases(Database('a', 'sqlite://'))", "x", "Databases there: mine."),
        ("import no_such_package", "databases", "It needs 'no_such_package', which is not installed."),
        (f"raise ValueError({PASSWORD!r})", "databases", "It raises ValueError: see it with python -c"),
        ("raise SystemExit(0)", "databases", "It raises SystemExit"),
        ("from manybase import *\nDatabases()", "databases", "Databases() is empty."),
        (f"{PASSWORD!r} +", "databases", "It raises SyntaxError"),
    ],
)
def test_application_that_cannot_be_used(commands: Commands, source: str, attribute: str, said: str) -> None:
    """The message says what is wrong and what there is, without a traceback or a secret; nothing else happens."""
    ran = commands("in-doubt", "--app", f"{commands.module(source)}:{attribute}")

    assert [2, ""] == [ran.code, ran.out]
    assert said in ran.err
    assert TRACE not in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("app", [url(), "shop", "shop:", "shop:a b", "/tmp/shop.py:databases"])
def test_application_that_cannot_be_read(commands: Commands, app: str) -> None:
    """The message shows how to write it, and does not repeat what may be a URL."""
    ran = commands("--app", app, "in-doubt")

    assert [2, ""] == [ran.code, ran.out]
    assert "--app is not written as module:attribute. Write it as in shop.databases:databases." in ran.err
    assert TRACE not in ran.err


def test_module_that_is_not_there(commands: Commands) -> None:
    """The message names the part that is missing, and where it was looked for."""
    ran = commands("in-doubt", "--app", "nowhere.databases:databases")

    assert 2 == ran.code
    assert f"There is no module 'nowhere' in {commands.folder}" in ran.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "No --app is given, and there is no pyproject.toml here or above: give --app"),
        ("", "pyproject.toml has none: give --app"),
        ("[tool.manybase]\napp = 3", "is not a text"),
        ("[tool]\nmanybase = 3", "has none"),
        ("[tool.manybase]\napp = 'shop'", "pyproject.toml is not written as module:attribute"),
        (f"{PASSWORD} is no TOML", "pyproject.toml cannot be read."),
        ("tool = 3", "pyproject.toml cannot be read."),
    ],
    ids=["none", "empty", "number", "no section", "no attribute", "no TOML", "no tools"],
)
def test_no_application(commands: Commands, settings: str | None, said: str) -> None:
    """The message says what is known and both ways to name one."""
    if settings is not None:
        (commands.folder / "pyproject.toml").write_text(settings)

    ran = commands("in-doubt")

    assert [2, ""] == [ran.code, ran.out]
    assert said in ran.err
    assert "shop.databases:databases" in ran.err
    assert TRACE not in ran.err


def test_application_of_the_project(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest pyproject.toml names it, also from a folder below."""
    app = commands.declare(shop="sqlite:///shop.db")
    (commands.folder / "pyproject.toml").write_text(f"[tool.manybase]\napp = '{app}'")
    below = commands.folder / "docs"
    below.mkdir()
    monkeypatch.chdir(below)

    ran = commands("in-doubt")

    assert [0, "Nothing is in doubt.\n", ""] == [ran.code, ran.out, ran.err]


def test_error_as_json(commands: Commands) -> None:
    """Stdout holds one document all the same."""
    ran = commands("in-doubt", "--json", "--app", "nowhere:databases")

    assert 2 == ran.code
    assert "Module 'nowhere' cannot be imported." in ran.json["error"]


def test_module_that_prints(commands: Commands) -> None:
    """What it prints is not in the document."""
    name = commands.module("print('hello')\nfrom manybase import *\nd = Databases(Database('a', 'sqlite:///a.db'))")

    ran = commands("in-doubt", "--json", "--app", f"{name}:d")

    assert {"in_doubt": [], "unreachable": []} == ran.json
    assert "hello\n" == ran.err


def test_unknown_option(commands: Commands) -> None:
    """It is not understood."""
    assert 2 == commands("in-doubt", "--nosuch").code


@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError(PASSWORD), 1), (KeyboardInterrupt(), 130)])
def test_command_that_breaks(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """The kind of error is told, no traceback and nothing that may be a secret."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("manybase.cli.asking.in_doubt", fail)

    ran = commands("in-doubt", "--app", commands.declare(shop="sqlite:///shop.db"))

    assert [code, ""] == [ran.code, ran.out]
    assert TRACE not in ran.err
    assert "Traceback" not in ran.err


def test_script(tmp_path: Path) -> None:
    """As a process of its own: the exit code and the text are the same, and warnings would be errors."""
    (tmp_path / "shop.py").write_text("from manybase import *\nd = Databases(Database('a', 'sqlite:///a.db'))")
    program = "from manybase.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "in-doubt", "--app", "shop:d"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert [0, "Nothing is in doubt.\n", ""] == [done.returncode, done.stdout, done.stderr]
