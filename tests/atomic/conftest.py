"""Fixtures of the tests of commits over several databases."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.atomic.dying import Commit
from tests.atomic.topologies import Topology
from tests.servers.mixed import Drivers
from tests.servers.server import Server

Prepare = Callable[[Topology, Drivers], Commit]


@pytest.fixture
def app() -> str:
    """A name that no other test has prepared anything under: XA RECOVER tells of the whole server."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def commit_over(
    postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], tmp_path: Path, app: str
) -> Prepare:
    """Fresh databases of a topology, with their tables, and the commit over all of them."""

    def make(topology: Topology, drivers: Drivers) -> Commit:
        fresh: dict[str, list[URL]] = {"postgresql": [], "mariadb": [], "sqlite": []}
        for number, backend in enumerate(topology.backends):
            if backend == "sqlite":
                fresh[backend].append(URL.create("sqlite", database=str(tmp_path / f"{number}.db")))
            else:
                fresh[backend].append(create_database(postgresql if backend == "postgresql" else mariadb))
        commit = Commit(topology.urls(drivers, fresh), app, drivers.kind.asyncio)
        databases = commit.in_sync().declare()
        databases.create_all()
        databases.dispose()
        return commit

    return make
