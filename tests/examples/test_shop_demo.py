"""The program that `make demo` runs."""

import shutil
import signal
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine

from examples.shop.databases import databases
from examples.shop.demo import options, run
from examples.shop.seed import check
from examples.shop.terminal import standard_output
from tests.examples.program import run_demo, serving_demo
from tests.servers.server import PASSWORD, Server

pytestmark = pytest.mark.once

DONE = "Every step gave the expected result."
SHOWN = (
    "✓ each goes to its owner",
    "✓ both writes are there",
    "✓ figures from shop, analytics and audit",
    "UnsupportedStatement: FOR UPDATE cannot be answered over several databases",
    "✓ POST /orders/failing failed: 402 The payment was declined.",
    "✓ the parcel is in eu, and not in us",
    "✓ the process died at 'deciding', by signal 9 ✓ killed before: nothing in either database",
    "✓ the process died at 'committed', by signal 9 ✓ killed after: all of it in both",
    DONE,
)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The files of a demo that has ended well, and what it printed."""
    directory = tmp_path_factory.mktemp("demo")
    demo = run_demo("--once", "--data", directory)
    assert 0 == demo.returncode, demo.stdout
    return directory, demo.stdout


def test_demo_once(first_run: tuple[Path, str]) -> None:
    """It shows every step with its result, in plain text where nobody is looking."""
    directory, printed = first_run

    assert [] == [line for line in SHOWN if line not in " ".join(printed.split())]
    assert "✗" not in printed
    assert "\033" not in printed
    assert 5 == count_users(directory)


def test_demo_again(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """It starts from scratch."""
    directory = shutil.copytree(first_run[0], tmp_path / "copy")
    demo = run_demo("--once", "--data", directory)

    assert 0 == demo.returncode, demo.stdout
    assert 5 == count_users(directory)


def test_demo_whose_result_is_not_the_expected_one(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """Its step says so, and the exit code is 1. With --keep it goes on with the files that are there."""
    directory = shutil.copytree(first_run[0], tmp_path / "copy")
    with closing(sqlite3.connect(directory / "shop.sqlite")) as connection, connection:
        connection.execute("UPDATE products SET stock = 3")  # enough to order, too little for the order that fails
    demo = run_demo("--once", "--data", directory, "--keep")

    assert 1 == demo.returncode
    assert "✗ answers 402" in demo.stdout
    assert DONE not in demo.stdout
    assert 6 == count_users(directory)


def test_demo_on_servers(
    postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], tmp_path: Path
) -> None:
    """With URLs in the environment it runs on PostgreSQL and MariaDB, and keeps what it finds there."""
    places = {"shop": postgresql, "analytics": mariadb, "audit": postgresql, "eu": mariadb, "us": postgresql}
    urls = {name: create_database(server) for name, server in places.items()}
    texts = {name: url.render_as_string(hide_password=False) for name, url in urls.items()}
    demos = [run_demo("--once", "--data", tmp_path, urls=texts) for _ in range(2)]

    for demo in demos:
        assert 0 == demo.returncode, demo.stdout
        assert DONE in demo.stdout
        assert PASSWORD not in demo.stdout
    shop = create_engine(urls["shop"].set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with shop.connect() as connection:
        assert 6 == connection.exec_driver_sql("SELECT count(*) FROM users").scalar()  # four seeded once, two guests
    assert ["in-use.sqlite"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_serves_and_is_stopped(stop: signal.Signals, tmp_path: Path) -> None:
    """It serves the start page after the tour, and ends at once, without a traceback."""
    with serving_demo("--port", 0, "--data", tmp_path) as (process, address):
        page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address).read().decode()
        process.send_signal(stop)
        rest, _ = process.communicate(timeout=20)

    assert "One session, five databases" in page
    assert (0, "Stopped.") == (process.returncode, rest.strip())


def test_two_demos_at_once(tmp_path: Path) -> None:
    """The second one says what is in its way, and leaves the files of the first alone."""
    first, second = tmp_path / "first", tmp_path / "second"
    with serving_demo("--port", 0, "--data", first) as (_, address):
        port = int(address.rpartition(":")[2])
        taken = refusal("--port", port, "--data", second)
        in_use = refusal("--once", "--data", first)

        assert 5 == count_users(first)
    assert f"Port {port} cannot be used (Address already in use). Give another one: --port {port + 1}" == taken
    assert not second.exists()
    assert f"Another demo is using {first}. Stop it, or give this one its own directory: --data PATH" == in_use


def test_demo_in_a_directory_that_is_a_file(tmp_path: Path) -> None:
    """It says so, and what to give instead."""
    (tmp_path / "file").write_text("")

    expected = f"The directory {tmp_path / 'file'} cannot be used (File exists). Give another one: --data PATH"
    assert expected == refusal("--once", "--data", tmp_path / "file")


def test_demo_with_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """It names the database and the reason, without a traceback and without the password."""
    urls = {"shop": f"postgresql://me:{PASSWORD}@127.0.0.1:1/shop"}
    demo = run_demo("--once", "--data", tmp_path, urls=urls)

    assert 1 == demo.returncode
    assert demo.stdout.startswith("Database 'shop' cannot be used: ")
    assert "Traceback" not in demo.stdout
    assert PASSWORD not in demo.stdout


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://me:{}@127.0.0.1:1/x", "Database 'analytics' cannot be used: "),
        ("nonsense {}", "the URL in MANYBASE_ANALYTICS_URL cannot be read"),
        ("postgresql+asyncpg://me:{}@127.0.0.1:1/x", "Name the backend alone (postgresql://)"),
        ("postgresql+psycopg2://me:{}@127.0.0.1:1/x", "Name the backend alone (postgresql://)"),
    ],
)
def test_demo_with_a_url_that_cannot_serve(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is wrong with it, without the password."""
    monkeypatch.setenv("MANYBASE_ANALYTICS_URL", url.format(PASSWORD))
    with pytest.raises(SystemExit) as end:
        check("analytics")

    databases.dispose()
    assert reason in str(end.value)
    assert PASSWORD not in str(end.value)


@pytest.mark.parametrize("arguments", [("--port", "80x"), ("--port", "65536"), ("--port", "-1"), ("--nope",)])
def test_demo_with_arguments_that_make_no_sense(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """It says how it is used."""
    with pytest.raises(SystemExit) as end:
        options(arguments)

    assert 2 == end.value.code
    assert capsys.readouterr().err.startswith("usage: python -m examples.shop")


def refusal(*arguments: object) -> str:
    """What the program says as it ends, before it has done anything."""
    with pytest.raises(SystemExit) as end:
        run(options([str(each) for each in arguments]), standard_output())
    return str(end.value)


def count_users(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "shop.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])
