"""Modules that a test writes and imports; they are forgotten when it ends."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

WriteModule = Callable[[str, str], None]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Writes a module by its dotted name, and the packages above it, into a folder that is on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    roots: set[str] = set()

    def write(name: str, source: str) -> None:
        *packages, module = name.split(".")
        roots.add(name.split(".")[0])
        folder = tmp_path
        for package in packages:
            folder = folder / package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        path = folder / module / "__init__.py" if (folder / module).is_dir() else folder / f"{module}.py"
        path.write_text(dedent(source))
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] in roots]:
        del sys.modules[name]
