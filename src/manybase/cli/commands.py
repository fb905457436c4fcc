"""The commands, as Typer reads them. What they do is imported when they do it: help must be quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manybase.cli import printing
from manybase.cli.application import EXAMPLE, UsageError, load

if TYPE_CHECKING:
    from manybase.engines import Databases

DONE, FAILED, MISUNDERSTOOD, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130

App = Annotated[str | None, typer.Option("--app", metavar="MODULE:NAME", help=f"The Databases, as in {EXAMPLE}.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[list[str] | None, typer.Option("--database", "-d", metavar="NAME", help="Only this database.")]

app = typer.Typer(
    name="manybase",
    help="Look after databases that are committed together.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
in_doubt_app = typer.Typer(help="Transactions that are prepared, and not ended.", invoke_without_command=True)
app.add_typer(in_doubt_app, name="in-doubt")


def run(arguments: Sequence[str] | None = None) -> None:
    try:
        app(arguments, prog_name="manybase")
    except UsageError as error:  # with --json told already
        printing.complain(str(error))
        raise SystemExit(MISUNDERSTOOD) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        printing.complain(f"It failed ({type(error).__name__}).")  # its text may hold what nobody should read
        raise SystemExit(FAILED) from None


@app.callback()
def manybase(context: typer.Context, app: App = None) -> None:
    context.obj = app


@in_doubt_app.callback()
def in_doubt(context: typer.Context, app: App = None, json: Json = False, database: Names = None) -> None:
    """List the transactions that are in doubt: what each is, where, for how long, and what was decided."""
    if context.invoked_subcommand is not None:
        context.obj = app or context.obj
        return
    from manybase.cli.recovery import list_in_doubt

    finish(context, app, json, lambda databases: list_in_doubt(databases, chosen(databases, database), json=json))


@in_doubt_app.command()
def resolve(
    context: typer.Context,
    transaction: Annotated[str | None, typer.Argument(metavar="ID", help="Only this one, whatever its age.")] = None,
    app: App = None,
    json: Json = False,
    min_age: Annotated[
        float, typer.Option("--min-age", metavar="SECONDS", min=0, help="Leave alone what is younger.")
    ] = 60,
) -> None:
    """End them as their coordinators decided; tell how the one that is named has ended."""
    from manybase.cli.recovery import resolve

    finish(context, app, json, lambda databases: resolve(databases, transaction, min_age=min_age, json=json))


@app.command()
def doctor(
    context: typer.Context,
    app: App = None,
    json: Json = False,
    database: Names = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail for warnings too.")] = False,
) -> None:
    """Tell what stands in the way of atomic commits and of their recovery. Changes nothing."""
    from manybase.cli.looking import examine

    finish(context, app, json, lambda given: examine(given, chosen(given, database), json=json, strict=strict))


@app.command()
def ping(context: typer.Context, app: App = None, json: Json = False, database: Names = None) -> None:
    """Ask each database whether it answers, and how fast."""
    from manybase.cli.looking import ping

    finish(context, app, json, lambda databases: ping(databases, chosen(databases, database), json=json))


def finish(context: typer.Context, app: str | None, json: bool, command: Callable[[Databases], int]) -> None:
    """Exit as the command says."""
    try:
        code = command(load(app or context.obj))
    except UsageError as error:
        if json:
            told(error)
        raise
    raise typer.Exit(code)


def told(error: Any) -> None:
    printing.as_json({"error": str(error)})


def chosen(databases: Databases, names: list[str] | None) -> list[str]:
    """The databases that are named, or all. Raises ``UsageError`` for one that is not declared."""
    from manybase.errors import UnknownDatabase

    for name in names or ():
        if name not in databases:
            raise UsageError(str(UnknownDatabase(name, databases.names)))
    return list(names or databases.names)
