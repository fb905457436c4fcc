"""``manybase explain``: how a statement of the program would be answered."""

from __future__ import annotations

import re
import sys
from typing import Any

from sqlalchemy import SelectBase
from sqlalchemy.orm import Query

from manybase.cli import asking, printing
from manybase.cli.application import UsageError, imported
from manybase.engines import Databases
from manybase.errors import ManybaseError
from manybase.federation.explanation import Explanation
from manybase.session import Session

DONE, FAILED = 0, 1
WRITTEN = re.compile(r"(?P<module>[^\W\d]\w*(\.\w+)*):(?P<attribute>[^\W\d]\w*(\.[^\W\d]\w*)*)")
EXAMPLE = "shop.reports:best_customers"


def explain(databases: Databases, written: str, *, analyze: bool, json: bool) -> int:
    statement = select_called(written)

    def work(asyncio: bool) -> Explanation:
        with Session(databases, asyncio=asyncio) as session:
            return session.explain(statement, analyze=analyze)

    try:
        explanation = asking.through_its_drivers(databases, work)
    except ManybaseError as error:
        printing.as_json({"error": str(error)}) if json else printing.complain(str(error))
        return FAILED
    if json:
        printing.as_json(explanation.to_dict())
    elif sys.stdout.isatty():
        on_terminal(explanation)
    else:
        printing.say(str(explanation))
    return DONE


def on_terminal(explanation: Explanation) -> None:
    from rich.console import Console

    Console().print(explanation.tree)


def select_called(written: str) -> SelectBase | Query[Any]:
    """The SELECT called ``module:name``, or the one that what is called so returns."""
    match = WRITTEN.fullmatch(written)
    if match is None:
        raise UsageError(f"The statement is not written as module:name. Write it as in {EXAMPLE}.")
    found: Any = imported(match["module"])
    for name in match["attribute"].split("."):
        found = getattr(found, name, None)
    if found is None:
        raise UsageError(f"{match['attribute']!r} of module {match['module']!r} is not there.")
    if callable(found) and not isinstance(found, (SelectBase, Query)):
        found = returned(found, written)
    if not isinstance(found, (SelectBase, Query)):
        raise UsageError(f"{written!r} is of type {type(found).__name__}, and neither a SELECT nor returns one.")
    return found


def returned(function: Any, written: str) -> Any:
    """What it raises is told by its kind, for its text may be a secret."""
    try:
        return function()
    except Exception as error:
        raise UsageError(f"{written!r} raises {type(error).__name__} when it is called without arguments.") from None
