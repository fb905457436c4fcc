"""A commit that has happened, and connections that are lost before SQLAlchemy has sent the COMMITs of its own."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL

from manybase import Session
from manybase.testing import fail_at
from tests.ledgers import ledgers, rows, write
from tests.servers.killing import killer_of_connection
from tests.servers.mixed import Drivers, Urls, every_driver
from tests.servers.server import Server


@pytest.fixture
def urls(
    drivers: Drivers, postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL]
) -> dict[str, URL]:
    servers = {"first": ("postgresql", postgresql), "second": ("postgresql", postgresql), "third": ("mariadb", mariadb)}
    return {
        name: Urls(drivers, {backend: create_database(server)})[backend] for name, (backend, server) in servers.items()
    }


@every_driver
@pytest.mark.parametrize("lost", ["first", "third"])
def test_connection_lost_after_the_commit(
    drivers: Drivers, urls: dict[str, URL], postgresql: Server, mariadb: Server, lost: str
) -> None:
    """Committed is committed: no error says otherwise."""
    server = mariadb if lost == "third" else postgresql

    def body(session: Session) -> None:
        write(session, "first", "second", "third")
        with fail_at("all finished", error=killer_of_connection(server, session, lost)):
            session.commit()

    drivers.kind.run(ledgers(urls), body)

    assert {"first": 1, "second": 1, "third": 1} == drivers.kind.run(ledgers(urls), rows)
