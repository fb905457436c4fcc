"""Cluster: the servers that a run of chaos may do anything to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.chaos.topologies import Servers
from tests.servers import mariadb, postgresql

STARTERS = {"first": postgresql.start_private, "second": postgresql.start_private, "mariadb": mariadb.start_private}


@contextmanager
def cluster() -> Iterator[Servers]:
    """Two PostgreSQL and a MariaDB, all private; gone afterwards."""
    with ThreadPoolExecutor(len(STARTERS)) as executor:
        starting = {name: executor.submit(start) for name, start in STARTERS.items()}
    try:
        yield {name: server.result() for name, server in starting.items()}
    finally:
        for server in starting.values():
            if server.exception() is None:
                server.result().close()
