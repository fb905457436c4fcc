"""Options: what most commands take, and how each of them exits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from manybase.cli import printing
from manybase.cli.application import EXAMPLE, UsageError, load

if TYPE_CHECKING:
    from manybase.engines import Databases

App = Annotated[str | None, typer.Option("--app", metavar="MODULE:NAME", help=f"The Databases, as in {EXAMPLE}.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[list[str] | None, typer.Option("--database", "-d", metavar="NAME", help="Only this database.")]


def finish(context: typer.Context, app: str | None, json: bool, command: Callable[[Databases], int]) -> None:
    """Exit as the command says."""
    try:
        code = command(load(app or context.obj))
    except UsageError as error:
        if json:
            printing.as_json({"error": str(error)})
        raise
    raise typer.Exit(code)


def chosen(databases: Databases, names: list[str] | None) -> list[str]:
    """The databases that are named, or all. Raises ``UsageError`` for one that is not declared."""
    from manybase.errors import UnknownDatabase

    for name in names or ():
        if name not in databases:
            raise UsageError(str(UnknownDatabase(name, databases.names)))
    return list(names or databases.names)
