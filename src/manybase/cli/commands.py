"""The commands, as Typer reads them. What they do is imported when they do it: help must be quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from manybase.cli import migrating, printing, tenanting
from manybase.cli.application import UsageError
from manybase.cli.options import App, Json, Names, chosen, finish

DONE, FAILED, MISUNDERSTOOD, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="manybase",
    help="Look after databases that are migrated and committed together.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
in_doubt_app = typer.Typer(help="Transactions that are prepared, and not ended.", invoke_without_command=True)
app.add_typer(in_doubt_app, name="in-doubt")
app.add_typer(migrating.app)
app.add_typer(tenanting.app, name="tenants")


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


@app.command()
def explain(
    context: typer.Context,
    statement: Annotated[
        str,
        typer.Argument(metavar="MODULE:NAME", help="A SELECT, or what returns one, as in shop.reports:best_customers."),
    ],
    app: App = None,
    json: Json = False,
    analyze: Annotated[bool, typer.Option("--analyze", help="Run it once, and tell what that took.")] = False,
) -> None:
    """Tell how a SELECT is answered: what each database is asked, and what is left to be done. Nothing runs."""
    from manybase.cli.explaining import explain

    finish(context, app, json, lambda databases: explain(databases, statement, analyze=analyze, json=json))
