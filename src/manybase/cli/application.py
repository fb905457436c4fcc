"""Application: the ``Databases`` that a command is about, found by ``--app`` or in pyproject.toml."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manybase.engines import Databases

WRITTEN = re.compile(r"(?P<module>[^\W\d]\w*(\.\w+)*):(?P<attribute>[^\W\d]\w*)")
EXAMPLE = "shop.databases:databases"


class UsageError(Exception):
    """What was asked cannot be understood; the message says what to do."""


def load(app: str | None) -> Databases:
    """The databases called ``module:attribute``. Raises ``UsageError``, whose text never repeats a secret."""
    from manybase.engines import Databases

    add_to_path(Path.cwd())
    asked = "--app"
    if app is None:
        app, asked = configured()
    written = WRITTEN.fullmatch(app)
    if written is None:
        raise UsageError(f"{asked} is not written as module:attribute. Write it as in {EXAMPLE}.")
    name, attribute = written["module"], written["attribute"]
    module = imported(name)
    found = getattr(module, attribute, None)
    if isinstance(found, Databases):
        return found
    there = [each for each, value in vars(module).items() if isinstance(value, Databases)]
    known = f"Databases there: {', '.join(there)}." if there else "There are no Databases in it."
    what = "is not there" if found is None else f"is of type {type(found).__name__}, not Databases"
    raise UsageError(f"{attribute!r} of module {name!r} {what}. {known} Name them as in --app {name}:databases.")


def configured() -> tuple[str, str]:
    """What the nearest pyproject.toml names, and where that is written."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        path = folder / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("manybase", {})
        except (ValueError, OSError, AttributeError):
            raise UsageError(f"{path} cannot be read. Correct it, or give --app {EXAMPLE}.") from None
        app = settings.get("app") if isinstance(settings, dict) else None
        if app is None:
            raise UsageError(f"No --app is given, and {path} has none: {advice()}.")
        if not isinstance(app, str):
            raise UsageError(f"app of [tool.manybase] in {path} is not a text. Write it as in {EXAMPLE}.")
        add_to_path(folder)
        return app, f"app of [tool.manybase] in {path}"
    raise UsageError(f"No --app is given, and there is no pyproject.toml here or above: {advice()}.")


def advice() -> str:
    return f'give --app {EXAMPLE}, or write app = "{EXAMPLE}" below [tool.manybase]'


def add_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def imported(name: str) -> ModuleType:
    """The module. What it prints goes to stderr; what it raises is told by its kind, for its text may be a secret."""
    from manybase.errors import ManybaseError

    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            why = f"There is no module {error.name!r} in {Path.cwd()} or installed. Start it in the folder of it."
        else:
            why = f"It needs {error.name!r}, which is not installed."
    except ManybaseError as error:
        why = str(error)
    except (Exception, SystemExit) as error:
        why = f"It raises {type(error).__name__}: see it with python -c 'import {name}'."
    raise UsageError(f"Module {name!r} cannot be imported. {why}")
