"""The histories of the example: they make what its models declare, wherever its databases are."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import URL

from examples.shop.app import app
from examples.shop.databases import databases
from manybase.errors import PendingMigrations
from manybase.migrations import check, downgrade, histories, require, status, upgrade
from tests.examples.program import run_demo
from tests.servers.server import Server

pytestmark = pytest.mark.once

PlaceShop = Callable[[dict[str, Server]], None]


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create_database: Callable[[Server], URL]
) -> Iterator[PlaceShop]:
    """Puts the five databases on these servers; those that are not named are files."""
    for variable in (variable for database in databases for variable in database.environment_variables):
        monkeypatch.delenv(variable, raising=False)

    def place(servers: dict[str, Server]) -> None:
        for name in databases.names:
            url = (
                create_database(servers[name])
                if name in servers
                else URL.create("sqlite", database=str(tmp_path / name))
            )
            monkeypatch.setenv(f"MANYBASE_{name.upper()}_URL", url.render_as_string(hide_password=False))

    yield place
    databases.dispose()


def assert_as_declared() -> None:
    """Up, down, and up again; then nothing is left for a revision to do."""
    upgrade(databases)
    downgrade(databases, "base", allow_data_loss=True)
    upgrade(databases)
    require(databases)
    compared, states = check(databases), status(databases)

    assert ({}, {}) == (compared.failed, states.failed)
    assert dict.fromkeys(databases.names, ()) == {name: each.differences for name, each in compared.done.items()}
    assert dict.fromkeys(databases.names, True) == {name: each.at_head for name, each in states.done.items()}


def test_in_files(place: PlaceShop) -> None:
    """The models and the databases agree."""
    place({})

    assert_as_declared()


def test_on_servers(place: PlaceShop, postgresql: Server, mariadb: Server) -> None:
    """The models and the databases agree, each on both servers."""
    for first, second in ((postgresql, mariadb), (mariadb, postgresql)):
        place({"shop": first, "analytics": second, "audit": first, "eu": second, "us": first})

        assert_as_declared()
        databases.dispose()


def test_regions() -> None:
    """They share one history; the others have one each."""
    assert [("shop",), ("analytics",), ("audit",), ("eu", "us")] == [each.databases for each in histories(databases)]


def test_application_on_empty_databases(place: PlaceShop) -> None:
    """It does not start before they are at their head."""
    place({})

    with pytest.raises(PendingMigrations, match=r"shop: 1 revision; .*us: 1 revision"), TestClient(app):
        pass


def test_files_of_an_earlier_version(tmp_path: Path) -> None:
    """They have tables without a history: the program says so, and leaves them as they are."""
    with closing(sqlite3.connect(tmp_path / "analytics.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    demo = run_demo("--once", "--keep", "--data", tmp_path)

    assert 1 == demo.returncode
    assert demo.stdout.startswith("Database 'analytics' has tables, and no history of them: an earlier version ")
    with closing(sqlite3.connect(tmp_path / "analytics.sqlite")) as connection:
        assert [("orders",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()
