"""What a run says and does that cannot have a server it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.server,
    pytest.mark.once,
]  # they need none, but start pytest four times: nothing for a quick run

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
RUN = """
import pytest
from tests.servers import startup
from tests.servers.programs import ServerNotAvailable

def nowhere():
    raise ServerNotAvailable("No mariadb server: install one.")

startup.STARTERS["mariadb"] = nowhere  # the only way to have no server on a machine that has one

def test_that_wants_it(mariadb_url): ...
def test_that_wants_it_too(mariadb): ...
def test_that_wants_none(sqlite_url): ...
"""


def run_without_mariadb(tmp_path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_run.py").write_text(RUN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    clean = {name: value for name, value in ENVIRONMENT.items() if name not in ("CI", "MANYBASE_REQUIRE_SERVERS")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.servers.fixtures", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        env=clean | environment,
        capture_output=True,
        text=True,
    )


def test_missing_server_at_home(tmp_path: Path) -> None:
    """The tests that want it are skipped, and the last lines say so and why."""
    done = run_without_mariadb(tmp_path)

    assert 0 == done.returncode, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    assert "NOT EVERYTHING WAS TESTED" in done.stdout
    assert "2 skipped: No mariadb server: install one." in done.stdout


@pytest.mark.parametrize("variable", ["CI", "MANYBASE_REQUIRE_SERVERS"])
def test_missing_server_where_it_is_required(tmp_path: Path, variable: str) -> None:
    """The run fails and shows the reason."""
    value = {"CI": "true", "MANYBASE_REQUIRE_SERVERS": "1"}[variable]
    done = run_without_mariadb(tmp_path, **{variable: value})

    assert 1 == done.returncode, done.stdout
    assert "No mariadb server: install one." in done.stdout
    assert "1 passed, 2 errors" in done.stdout


def test_run_of_what_needs_no_server(tmp_path: Path) -> None:
    """-m 'not server' leaves out every test that wants one, and so starts none."""
    done = run_without_mariadb(tmp_path, "-m", "not server", CI="true")

    assert 0 == done.returncode, done.stdout
    assert "1 passed, 2 deselected" in done.stdout
