"""The data of TPC-H at any scale, byte for byte those of its dbgen: made by tpchgen-cli."""

import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

GENERATOR = "tpchgen-cli"
END_OF_LINE = "|\n"


def generate(scale: float, folder: Path) -> Path:
    """The folder, with a file for each table: fields end with ``|``, and nothing in them needs an escape."""
    command = [_generator(), "--scale-factor", f"{scale:g}", "--output-dir", folder, "--quiet"]
    subprocess.run(command, check=True)
    return folder


def file_of(folder: Path, table: str) -> Path:
    return folder / f"{table}.tbl"


def lines(path: Path) -> Iterator[str]:
    """Each row without the mark at its end."""
    with path.open() as file:
        for line in file:
            yield line.removesuffix(END_OF_LINE)


def _generator() -> Path:
    program = Path(sysconfig.get_path("scripts"), GENERATOR)
    if not program.exists():
        raise FileNotFoundError(f"{GENERATOR} is not in this environment: `make environment` brings it.")
    return program
