"""Commands run in this process, as `manybase` runs them, in a folder of their own."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manybase.cli import main

DECLARE = """
from manybase import Database, Databases

databases = Databases({})
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Commands:
    def __init__(self, folder: Path, read: Callable[[], Any]) -> None:
        self.folder = folder
        self._read = read

    def __call__(self, *arguments: str) -> Ran:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        out, err = self._read()
        code = exited.value.code
        assert isinstance(code, int)
        return Ran(code, out, err)

    def module(self, source: str) -> str:
        """The name of a module with this source, in the current folder."""
        name = f"m{uuid4().hex}"
        (self.folder / f"{name}.py").write_text(source)
        return name

    def declare(self, **urls: object) -> str:
        """What `--app` takes for databases at these URLs."""
        declared = [f"Database({name!r}, {str(url)!r})" for name, url in urls.items()]
        return f"{self.module(DECLARE.format(', '.join(declared)))}:databases"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Runs `manybase` in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return Commands(tmp_path, capsys.readouterr)
