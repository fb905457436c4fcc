"""Many requests of many tenants at once, a small version of ``python -m tests.tenants.torture``."""

import pytest

from tests.servers.fixtures import _give_up
from tests.servers.postgresql import start_private
from tests.servers.programs import ServerNotAvailable
from tests.tenants.torture import Outcome, torture

pytestmark = [pytest.mark.server, pytest.mark.postgresql, pytest.mark.once]


def test_no_row_crosses() -> None:
    """100 requests of 40 tenants share 12 connections and 8 engines: none crosses, none fails, nothing is left."""
    try:
        server = start_private()
    except ServerNotAvailable as missing:
        _give_up(str(missing))
    try:
        outcomes = torture(server, requests=100, tenants=40, connections=12, engines=8)
    finally:
        server.close()

    assert {"tasks": ([], [], []), "threads": ([], [], [])} == {kind: facts(each) for kind, each in outcomes.items()}
    assert all(0 < each.most <= 12 for each in outcomes.values())


def facts(outcome: Outcome) -> tuple[list[str], list[BaseException], list[str]]:
    return outcome.crossed, outcome.errors, outcome.left
