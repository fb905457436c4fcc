"""Answers: what a command of the migrations has to say, as text or as a document, and how it exits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any

from manybase.cli import printing
from manybase.cli.application import UsageError
from manybase.cli.outcomes import facts
from manybase.errors import ConfigurationError, DestructiveMigration, ManybaseError, UnknownDatabase, UnknownTenant

DONE, FAILED = 0, 1


@dataclass(frozen=True)
class Answer:
    """``document`` is for ``--json``; ``tell`` prints the same for people."""

    document: dict[str, Any]
    tell: Callable[[], None]
    code: int = DONE


def answer(question: Callable[[], Answer], *, json: bool) -> int:
    """Print the answer, which may be an error, and return how to exit.

    What an ``env.py`` prints meanwhile is no part of a document: it goes to stderr.
    """
    try:
        with redirect_stdout(sys.stderr) if json else nullcontext():
            found = question()
    except (ConfigurationError, UnknownDatabase, UnknownTenant) as error:
        raise UsageError(str(error)) from None
    except ManybaseError as error:
        found = refused(error)
    if json:
        printing.as_json(found.document)
    else:
        found.tell()
    return found.code


def refused(error: ManybaseError) -> Answer:
    """Nothing was begun."""
    details = {"databases": list(error.databases)} if isinstance(error, DestructiveMigration) else facts(error)
    return Answer({"error": str(error), **details}, lambda: printing.complain(str(error)), FAILED)
