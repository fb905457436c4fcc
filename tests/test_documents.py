"""Every Python example of the README and the manual runs, page by page, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_of(page: str) -> str:
    """The code of a page, on the lines it stands on, so that a traceback points there."""
    lines = ["" for _ in page.splitlines()]
    for block in re.finditer(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        first = page[: block.start(1)].count("\n")
        for offset, line in enumerate(block[1].splitlines()):
            lines[first + offset] = line
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """The examples of a page, one after the other, run without an error or a warning."""
    program = tmp_path / f"page_{page.stem}.py"  # not fastapi.py, which would stand in the way of fastapi
    program.write_text(python_of(page.read_text()))

    done = subprocess.run(
        [sys.executable, "-W", "error", program.name], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    """No page points at a file that is not there."""
    pages = [*PAGES, *(ROOT / "docs" / "decisions").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]

    assert [] == [(page.name, link) for page, link in links if not (page.parent / link).exists()]
