"""How much of it one run does: enough for every day, or all of it, again and again, where MANYBASE_TORTURE says so."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.mixed import DRIVERS

REPEATS = int(os.environ.get("MANYBASE_TORTURE", "1"))
TORTURE = REPEATS > 1

both_kinds: Callable[[Any], Any] = pytest.mark.parametrize(
    "drivers", DRIVERS if TORTURE else [DRIVERS[0], DRIVERS[2]], ids=str
)
postgresql_drivers: Callable[[Any], Any] = pytest.mark.parametrize(
    "drivers", DRIVERS if TORTURE else DRIVERS[:3], ids=str
)
