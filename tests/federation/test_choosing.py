"""How many rows a fragment may be asked for at once, without a cursor on the server."""

from typing import Any

import pytest
from sqlalchemy import JSON, Integer, Numeric, String, column, func, select, text
from sqlalchemy.types import TypeEngine

from manybase import Federation
from manybase.federation.choosing import at_once
from manybase.federation.fragments import Fragment, Output

MB = 1_000_000


def fragment(usual: int | None, *types: TypeEngine[Any], **more: Any) -> Fragment:
    """What brought so many rows the last time, of columns of such types."""
    return Fragment(0, "shop", usual=usual, outputs=[Output("c0", column("c", each), each) for each in types], **more)


MANY = fragment(50_000, Integer())


JOINED = Fragment(
    0, "shop", usual=50_000, outputs=[Output("c0", func.string_agg(column("c"), "", type_=String(9)), String(9))]
)


@pytest.mark.parametrize(
    ("known", "keys", "limits", "passes", "expected"),
    [
        pytest.param(fragment(None), None, {}, False, None, id="never seen"),
        pytest.param(fragment(3, JSON()), None, {}, False, 10_000, id="few"),
        pytest.param(fragment(3), None, {}, True, 10_000, id="few that pass"),
        pytest.param(MANY, None, {}, False, 100_000, id="twice as many"),
        pytest.param(MANY, None, {}, True, None, id="many that pass"),
        pytest.param(MANY, None, {"max_rows": 100}, False, 101, id="max_rows: one more tells that it is exceeded"),
        pytest.param(MANY, None, {"max_bytes": 24 * MB}, False, 100_000, id="half of max_bytes"),
        pytest.param(MANY, None, {"max_bytes": 18 * MB}, False, 75_000, id="as many as half of max_bytes has room for"),
        pytest.param(MANY, None, {"max_bytes": 12 * MB}, False, None, id="more than half of max_bytes"),
        pytest.param(fragment(2_000_000, Integer()), None, {}, False, None, id="too much"),
        pytest.param(fragment(50_000, Integer(), String(60)), None, {}, False, 100_000, id="text of some length"),
        pytest.param(fragment(50_000, Integer(), String()), None, {}, False, None, id="text of any length"),
        pytest.param(JOINED, None, {}, False, None, id="text that is computed"),
        pytest.param(fragment(50_000, Numeric()), None, {}, False, None, id="numbers of any length"),
        pytest.param(fragment(50_000, Numeric(10, 2)), None, {}, False, 100_000, id="numbers"),
        pytest.param(fragment(9_000, JSON()), None, {}, False, 10_000, id="documents, which were few"),
        pytest.param(fragment(9, whole=select(text("1"))), None, {}, False, None, id="whole"),
        pytest.param(MANY, 1_000, {}, False, 10_000, id="few keys"),
        pytest.param(MANY, 1_001, {}, False, None, id="many keys"),
    ],
)
def test_at_once(known: Fragment, keys: int | None, limits: dict[str, Any], passes: bool, expected: int | None) -> None:
    """Up to twice as many as the last time; as many as memory has room for by the types of the columns."""
    assert expected == at_once(known, keys, Federation(**limits), "mysql", passes=passes)


@pytest.mark.parametrize(("backend", "expected"), [("postgresql", 100_000), ("sqlite", None), ("mssql", None)])
def test_backends(backend: str, expected: int | None) -> None:
    """SQLite's texts may be longer than they are declared, and SQL Server's TOP takes no parameter."""
    assert expected == at_once(MANY, None, Federation(), backend, passes=False)
    assert (None if backend == "mssql" else 10_000) == at_once(fragment(3), None, Federation(), backend, passes=False)
