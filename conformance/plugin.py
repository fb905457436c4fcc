"""A pytest plugin: writes down how each test ended and how many sessions it made, and swaps manybase in when asked.

SQLAlchemy's test support must be the first to import SQLAlchemy: nothing here imports it before the session starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

hooks: list[tuple[str, Any]] = []
before: dict[str, tuple[int, int]] = {}
outcomes: dict[str, dict[str, Any]] = {}

# Tests that run per backend carry the driver and the server's version in their class name.
BACKEND = re.compile(r"_sqlite\+[a-z]+_[0-9_]+(?=::)")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--outcomes", type=Path, required=True, help="the JSON file to write")
    group.addoption("--swap", action="store_true", help="run with manybase's sessions")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("--swap"):
        import swap

        swap.swap_in()
        hooks.extend(swap.hooks())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if hooks:
        from swap import put_back

        put_back(hooks)
    before[item.nodeid] = sessions_so_far(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    finally:
        total, swapped = sessions_so_far(item)
        total_before, swapped_before = before.pop(item.nodeid)
        item.user_properties.append(("sessions", total - total_before - 1))  # counting has taken a number as well
        item.user_properties.append(("swapped", swapped - swapped_before))


def sessions_so_far(item: pytest.Item) -> tuple[int, int]:
    """How many sessions were ever made, and how many of them are manybase's.

    The private counter that numbers sessions is the one way to see them all without touching the class under test.
    """
    from sqlalchemy.orm.session import _new_sessionid

    if not item.config.getoption("--swap"):
        return _new_sessionid(), 0

    from swap import Session

    return _new_sessionid(), Session._constructed


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    test = outcomes.setdefault(BACKEND.sub("", report.nodeid), {"outcome": "passed", "sessions": 0, "swapped": 0})
    if report.when == "call":
        test.update(report.user_properties)
    if report.outcome != "passed" and test["outcome"] != "failed":
        test["outcome"] = report.outcome
        test["message"] = message(report)


def message(report: pytest.TestReport) -> str:
    if report.skipped:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longreprtext)[:500]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        written: Path = session.config.option.outcomes
        written.write_text(json.dumps(outcomes))
