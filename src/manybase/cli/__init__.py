"""The command line: ``manybase``. Typer and Rich come with the extra ``manybase[cli]``, and are only imported here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

NEEDED = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 not understood, 3 partly done."""
    missing = [each for each in NEEDED if find_spec(each) is None]
    if missing:
        print(
            f"The command line needs {' and '.join(missing)}, which manybase does not install by itself. "
            "Install it: pip install 'manybase[cli]'",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from manybase.cli.commands import run

    run(arguments)
