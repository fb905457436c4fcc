"""Runs the tests on every other supported Python that this machine has; arguments go to pytest."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bootstrap
import environment
import tools

OURS = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main() -> int:
    outcomes = {name: tests_pass(name, path) for name, path in other_pythons().items()}
    for name, passed in outcomes.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}")
    if not outcomes:
        print(f"No supported Python but {OURS} is installed here.")
    return 0 if all(outcomes.values()) else 1


def other_pythons() -> dict[str, str]:
    """The newest interpreter of each minor version, by name."""
    newest_last = sorted(installed_pythons(), key=lambda python: tuple(python["version_parts"].values()))
    named = {"python{major}.{minor}".format(**python["version_parts"]): python["path"] for python in newest_last}
    return {name: path for name, path in named.items() if name in bootstrap.KNOWN and name != OURS}


def installed_pythons() -> list[dict[str, Any]]:
    listing = [tools.uv(), "python", "list", "--quiet", "--only-installed", "--output-format", "json"]
    found = subprocess.run(listing, check=True, stdout=subprocess.PIPE, env={**os.environ, "PATH": search_path()})
    installed = json.loads(found.stdout)
    return [one for one in installed if (one["implementation"], one["variant"]) == ("cpython", "default")]


def search_path() -> str:
    """pyenv puts only those on PATH that are chosen at the moment."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return os.pathsep.join([*map(str, pyenv.glob("versions/*/bin")), os.environ["PATH"]])


def tests_pass(name: str, path: str) -> bool:
    print(f"\n== Tests on {name} ==", flush=True)
    python = environment.make(f".venv-{name}", python=path)
    return subprocess.run([python, "-m", "pytest", *sys.argv[1:]], cwd=environment.ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
