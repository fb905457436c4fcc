"""Databases for the tests of applications: three SQLite files with their tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from manybase import Databases
from tests.shop import in_files


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    """A shop, its analytics and its audit log, with their tables, empty. What is committed is read with `rows`."""
    databases = in_files(tmp_path)
    databases.create_all()
    yield databases
    databases.dispose()
