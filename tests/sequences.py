"""Sessions with `atomic=False` over three files: what the tests of commits one after the other share."""

from functools import partial
from pathlib import Path

import pytest

from manybase import Databases
from tests.ledgers import in_files
from tests.sessions import Run, SessionKind


@pytest.fixture
def databases(tmp_path: Path) -> Databases:
    return in_files(tmp_path)


@pytest.fixture
def run(session_kind: SessionKind, databases: Databases) -> Run:
    return partial(session_kind.run, databases, atomic=False)
