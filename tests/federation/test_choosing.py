"""How many rows a fragment may be asked for at once, without a cursor on the server."""

from typing import Any

import pytest
from sqlalchemy import select, text

from manybase import Federation
from manybase.federation.choosing import at_once
from manybase.federation.fragments import Fragment

MB = 1_000_000
KNOWN = Fragment(0, "shop", usual=(50_000, 10 * MB))


@pytest.mark.parametrize(
    ("fragment", "keys", "limits", "passes", "expected"),
    [
        pytest.param(Fragment(0, "shop"), None, {}, False, None, id="never seen"),
        pytest.param(Fragment(0, "shop", usual=(3, 300)), None, {}, False, 10_000, id="few"),
        pytest.param(Fragment(0, "shop", usual=(3, 300)), None, {}, True, 10_000, id="few that pass"),
        pytest.param(KNOWN, None, {}, False, 100_000, id="twice as many"),
        pytest.param(KNOWN, None, {}, True, None, id="many that pass"),
        pytest.param(KNOWN, None, {"max_rows": 100}, False, 101, id="max_rows: one more tells that it is exceeded"),
        pytest.param(KNOWN, None, {"max_bytes": 40 * MB}, False, 100_000, id="a quarter of max_bytes"),
        pytest.param(KNOWN, None, {"max_bytes": 39 * MB}, False, None, id="more than a quarter of max_bytes"),
        pytest.param(Fragment(0, "shop", usual=(9, 101 * MB)), None, {}, False, None, id="large"),
        pytest.param(Fragment(0, "shop", usual=(9, 9), whole=select(text("1"))), None, {}, False, None, id="whole"),
        pytest.param(KNOWN, 1_000, {}, False, 10_000, id="few keys"),
        pytest.param(KNOWN, 1_001, {}, False, None, id="many keys"),
    ],
)
def test_at_once(
    fragment: Fragment, keys: int | None, limits: dict[str, Any], passes: bool, expected: int | None
) -> None:
    """Twice as many as the last time, where those are not too much for memory."""
    assert expected == at_once(fragment, keys, Federation(**limits), passes=passes)
