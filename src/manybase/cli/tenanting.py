"""The commands of tenants, as Typer reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from manybase.cli.migrating import Yes, answered
from manybase.cli.options import App, Json

if TYPE_CHECKING:
    from manybase.cli.answers import Answer
    from manybase.engines import Databases

app = typer.Typer(help="Tenants, in their databases and in the directory.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Shard = Annotated[str | None, typer.Option("--shard", metavar="SHARD", help="Where there are several.")]
One = Annotated[str | None, typer.Option("--database", "-d", metavar="NAME", help="Only in this database.")]


@app.command("list")
def list_(context: typer.Context, app: App = None, json: Json = False, database: One = None) -> None:
    """List the tenants, as the directories have them."""

    def command(databases: Databases) -> Answer:
        from manybase.cli.tenants import list_tenants

        return list_tenants(databases, database)

    answered(context, app, json, None if database is None else [database], command)


@app.command()
def create(
    context: typer.Context, name: Name, app: App = None, json: Json = False, database: One = None, shard: Shard = None
) -> None:
    """Make what a tenant needs, migrate it, and enter him in the directory. Can be done again and again."""

    def command(databases: Databases) -> Answer:
        from manybase.cli.tenants import create

        return create(databases, name, shard=shard, database=database)

    answered(context, app, json, None if database is None else [database], command)


@app.command()
def drop(
    context: typer.Context,
    name: Name,
    app: App = None,
    json: Json = False,
    database: One = None,
    shard: Shard = None,
    yes: Yes = False,
) -> None:
    """Take a tenant out of the directory, and drop what is his."""

    def command(databases: Databases) -> Answer:
        from manybase.cli.tenants import drop

        return drop(databases, name, shard=shard, database=database, yes=yes, json=json)

    answered(context, app, json, None if database is None else [database], command)
