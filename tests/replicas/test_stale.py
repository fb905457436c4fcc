"""A read immediately after a write, on real replicas that are behind: with its position it never shows less."""

import pytest

from manybase import Session
from tests.replicas.counters import (
    DRIVERS,
    Driver,
    Pair,
    declare,
    every_driver,
    served,
    stale_reads,
    with_counter,
)
from tests.servers.replicated import ByGtid, Replicated, Streaming, paused

pytestmark = [pytest.mark.server, pytest.mark.once]


@every_driver
def test_reads_without_delay(pair: Pair[Replicated], driver: Driver) -> None:
    """None is stale, and nearly all come from the replica."""
    databases = declare(pair, driver)

    stale = driver.kind.run(databases, lambda session: stale_reads(with_counter(session), 150))

    assert 0 == stale
    assert served(databases)["replica"] > 100


@pytest.mark.parametrize(("driver", "delay"), [(DRIVERS[3], 20), (DRIVERS[0], 200)], ids=str)
def test_reads_with_delay(on_postgresql: Pair[Streaming], driver: Driver, delay: int) -> None:
    """None is stale; without positions nearly all are."""
    databases = declare(on_postgresql, driver)

    def body(session: Session) -> tuple[int, int]:
        with_counter(session)
        on_postgresql.servers.wait()
        on_postgresql.servers.delay(delay)
        return stale_reads(session, 200), stale_reads(session, 50, position=False)

    with_positions, without = driver.kind.run(databases, body)

    assert 0 == with_positions
    assert without > 25


@pytest.mark.parametrize("driver", DRIVERS[:1], ids=str)
def test_reads_while_nothing_is_replayed(pair: Pair[Replicated], driver: Driver) -> None:
    """None is stale: the primary serves. Without positions nearly all were."""
    databases = declare(pair, driver)

    def body(session: Session) -> tuple[int, int]:
        with_counter(session)
        pair.servers.wait()
        stale_reads(session, 1)
        with paused(pair.servers):
            without = stale_reads(session, 20, position=False)
            return stale_reads(session, 100), without

    with_positions, without = driver.kind.run(databases, body)

    assert 0 == with_positions
    assert without > 10
    assert served(databases).get("not replayed", 0) + served(databases).get("no replica", 0) == 100


def test_reads_of_mariadb_with_delay(on_mariadb: Pair[ByGtid]) -> None:
    """None is stale while the replica is a second behind."""
    driver = DRIVERS[0]
    databases = declare(on_mariadb, driver)

    def body(session: Session) -> tuple[int, int]:
        with_counter(session)
        on_mariadb.servers.wait()
        on_mariadb.servers.delay(1)
        try:
            return stale_reads(session, 60), stale_reads(session, 20, position=False)
        finally:
            on_mariadb.servers.delay(0)

    with_positions, without = driver.kind.run(databases, body)

    assert 0 == with_positions
    assert without > 10
