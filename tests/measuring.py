"""Measuring: coverage of a test run, `-p tests.measuring`, in each of its workers too.

It starts here, as an early plugin, because our own plugin for pytest imports manybase before any conftest.py is read.
Each process leaves a `.coverage.*`, for `coverage combine`.
"""

import coverage
import pytest

measurement = coverage.Coverage()
measurement.start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    measurement.stop()
    measurement.save()
