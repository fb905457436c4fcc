"""The demo as a program of its own: started, read and stopped as a person at a terminal would."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.shop.databases import databases

ROOT = Path(__file__).parents[2]
SERVING = "Now yours: "
REPLICAS = "MANYBASE_SHOP_REPLICA_URLS"


def run_demo(*arguments: object, urls: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The demo, run to its end; ``urls`` are those of databases that are not SQLite files, and "replicas" of shop."""
    return subprocess.run(**program(arguments, urls), timeout=120, check=False)


@contextmanager
def serving_demo(
    *arguments: object, urls: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo after its tour, and the address at which it serves."""
    with subprocess.Popen(**program(arguments, urls)) as process:
        assert process.stdout is not None
        try:
            address = next(line.split()[2] for line in process.stdout if line.startswith(SERVING))
            yield process, address
        finally:
            process.kill()


def program(arguments: tuple[object, ...], urls: Mapping[str, str] | None) -> dict[str, Any]:
    own = {variable for database in databases for variable in database.environment_variables} | {REPLICAS}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= {
        REPLICAS if name == "replicas" else f"MANYBASE_{name.upper()}_URL": url for name, url in (urls or {}).items()
    }
    return {
        "args": [sys.executable, "-W", "error", "-m", "examples.shop", *map(str, arguments)],
        "cwd": ROOT,
        "env": environment | {"PYTHONUTF8": "1"},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "encoding": "utf-8",
    }
