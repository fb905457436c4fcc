"""Pytest fixtures over the servers. A missing server is a loud skip at home and a failure in CI."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import pytest
from sqlalchemy import URL

from tests.servers.programs import ServerNotAvailable
from tests.servers.server import Server
from tests.servers.startup import STARTERS, Startup

MISSING = "Server missing: "


@pytest.fixture(scope="session")
def server_startup(request: pytest.FixtureRequest) -> Iterator[Startup]:
    """The servers that the collected tests want, starting since the first of these tests."""
    wanted = [name for name in STARTERS if any(item.get_closest_marker(name) for item in request.session.items)]
    startup = Startup(wanted)
    yield startup
    startup.close()


@pytest.fixture(scope="session")
def postgresql(server_startup: Startup) -> Server:
    """The PostgreSQL server of this run; tests make databases of their own on it."""
    return server_of(server_startup, "postgresql")


@pytest.fixture(scope="session")
def mariadb(server_startup: Startup) -> Server:
    """The MariaDB server of this run; tests make databases of their own on it."""
    return server_of(server_startup, "mariadb")


@pytest.fixture
def private_postgresql(postgresql: Server) -> Iterator[Server]:
    """The PostgreSQL server, for a test that kills it; it runs again afterwards."""
    yield from _killable(postgresql)


@pytest.fixture
def private_mariadb(mariadb: Server) -> Iterator[Server]:
    """The MariaDB server, for a test that kills it; it runs again afterwards."""
    yield from _killable(mariadb)


@pytest.fixture
def create_database() -> Iterator[Callable[[Server], URL]]:
    """Makes as many fresh databases as a test likes, on the server it passes; they are dropped afterwards."""
    made: list[tuple[Server, URL]] = []

    def create(server: Server) -> URL:
        url = server.create_database()
        made.append((server, url))
        return url

    yield create
    for server, url in made:
        if not server.running:
            server.start()
        server.drop_database(url)


@pytest.fixture
def postgresql_url(postgresql: Server, create_database: Callable[[Server], URL]) -> URL:
    """A fresh PostgreSQL database."""
    return create_database(postgresql)


@pytest.fixture
def mariadb_url(mariadb: Server, create_database: Callable[[Server], URL]) -> URL:
    """A fresh MariaDB database."""
    return create_database(mariadb)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> URL:
    """A fresh SQLite file."""
    return URL.create("sqlite", database=str(tmp_path / "test.db"))


@pytest.fixture(
    params=[
        "sqlite",
        *(pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.server]) for name in STARTERS),
    ]
)
def server_url(request: pytest.FixtureRequest) -> URL:
    """A fresh database of each kind, one after the other."""
    url: URL = request.getfixturevalue(f"{request.param}_url")
    return url


def pytest_configure(config: pytest.Config) -> None:
    for name in STARTERS:
        config.addinivalue_line("markers", f"{name}: needs a {name} server (set by itself, from the fixtures)")
    config.addinivalue_line("markers", "server: needs a server; `-m 'not server'` runs what needs none")


@pytest.hookimpl(tryfirst=True)  # before -m deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in STARTERS:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(name)
                item.add_marker("server")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = (str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    missing = Counter(reason.partition(MISSING)[2] for reason in skipped if MISSING in reason)
    if not missing:
        return
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for reason, count in missing.items():
        terminalreporter.line(f"{count} skipped: {reason}", red=True)
    terminalreporter.line("MANYBASE_REQUIRE_SERVERS=1 makes a missing server a failure, as in CI.", red=True)


def server_of(startup: Startup, name: str) -> Server:
    """The server of that name; without it the test is skipped, or fails in CI."""
    try:
        return startup.server(name)
    except ServerNotAvailable as missing:
        _give_up(str(missing))


def _give_up(reason: str) -> Never:
    if os.environ.get("CI", "").lower() in ("1", "true") or os.environ.get("MANYBASE_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{MISSING}{reason}", pytrace=False)
    pytest.skip(f"{MISSING}{reason}")


def _killable(server: Server) -> Iterator[Server]:
    if server.process is None:
        pytest.skip(f"{MISSING}{server.origin} names a server that tests must not kill.")
    yield server
    server.start()
