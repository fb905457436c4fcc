"""Makes the environment that `make` runs things in, as uv.lock says; in no time when nothing has changed.

    python3 scripts/bootstrap.py [FOLDER [REQUIREMENT...]]

FOLDER is `.venv`; requirements replace what is locked. On a fresh machine Python is all there is: nothing here imports
more than the standard library, and this file may be started by any Python 3, for it looks for one that is new enough.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
KNOWN = ("python3.14", "python3.13", "python3.12", "python3.11")


def main() -> None:
    if sys.version_info < OLDEST:
        start_again_with(newer_python())
    import environment

    folder, *requirements = sys.argv[1:] or [".venv"]
    try:
        environment.make(folder, requirements)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{folder} could not be made: {error}")


def start_again_with(python: str) -> None:
    os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])


def newer_python() -> str:
    for python in filter(None, map(shutil.which, KNOWN)):
        if is_new_enough(python):
            return python
    wanted, found = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
    sys.exit(
        f"Python >= {wanted} is needed. {sys.executable} is {found}, "
        f"and none of {', '.join(KNOWN)} is on PATH. Name one: make PYTHON=/path/to/python3"
    )


def is_new_enough(python: str) -> bool:
    """A shim of pyenv is on PATH for versions that are not there, and fails when it is run."""
    check = f"import sys; sys.exit(sys.version_info < {OLDEST!r})"
    return subprocess.call([python, "-c", check], stderr=subprocess.DEVNULL) == 0


if __name__ == "__main__":
    main()
