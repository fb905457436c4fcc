"""The commands of migrations, as Typer reads them: Alembic's verbs and options, over all databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from manybase.cli.application import UsageError
from manybase.cli.options import App, Json, Names, chosen, finish
from manybase.cli.wishes import Wish

if TYPE_CHECKING:
    from manybase.cli.answers import Answer
    from manybase.engines import Databases
    from manybase.migrations.orders import Direction
    from manybase.parts import Which

    Command = Callable[[Databases], Answer]

app = typer.Typer()

Isolation = Literal["thread", "process"]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="So many databases at a time.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Begin others after one has failed.")]
Canary = Annotated[
    str, typer.Option("--canary", metavar="N|NAME", help="Before all others: the first N databases, or this tenant.")
]
OnlyBehind = Annotated[bool, typer.Option("--only-behind", help="Leave out what is at it, or newer than known here.")]
Tenant = Annotated[list[str] | None, typer.Option("--tenant", metavar="NAME", help="Only what is this tenant's.")]
All = Annotated[bool, typer.Option("--all", help="All tenants, too.")]
Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL, and run nothing.")]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="Wait so long for who migrates it already.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on where data is lost.")]
Isolated = Annotated[Isolation, typer.Option("--isolation", help="What each database is migrated in.")]
Look = Annotated[bool, typer.Option("--look", hidden=True)]
Message = Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="What the revision is about.")]

STEPS_DOWN = re.compile(r"-\d+")


@app.command()
def init(context: typer.Context, app: App = None, json: Json = False, database: Names = None) -> None:
    """Make the directories that the revisions go into."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import revisions

        return revisions.initialize(databases, database)

    answered(context, app, json, database, command)


@app.command()
def revision(
    context: typer.Context,
    message: Message = None,
    app: App = None,
    json: Json = False,
    database: Names = None,
    empty: Annotated[bool, typer.Option("--empty", help="Compare nothing: you write what it does.")] = False,
    head: Annotated[str, typer.Option("--head", metavar="REVISION", help="What it is based on.")] = "head",
    splice: Annotated[bool, typer.Option("--splice", help="Its base need not be a head.")] = False,
    rev_id: Annotated[str | None, typer.Option("--rev-id", metavar="ID", help="Its id, else a random one.")] = None,
    branch_label: Annotated[str | None, typer.Option("--branch-label", metavar="NAME")] = None,
    depends_on: Annotated[str | None, typer.Option("--depends-on", metavar="REVISION")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="Of a database with tenants, compare this one.")
    ] = None,
) -> None:
    """Write a revision for each history whose database differs from its models."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import revisions
        from manybase.migrations import Wanted

        wanted = Wanted(message, empty, head, splice, rev_id, branch_label, depends_on)
        return revisions.revise(databases, database, wanted, tenants=None if tenant is None else [tenant])

    answered(context, app, json, database, command)


@app.command()
def upgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REVISION")] = "head",
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    keep_going: KeepGoing = False,
    canary: Canary = "0",
    only_behind: OnlyBehind = False,
    tenant: Tenant = None,
    every: All = False,
    sql: Sql = False,
    lock_timeout: LockTimeout = 60,
    yes: Yes = False,
    isolation: Isolated = "thread",
    look: Look = False,
) -> None:
    """Bring the databases up to a revision, several at a time; run it again to go on after a failure."""

    wish = Wish(
        database,
        app or context.obj,
        json,
        jobs,
        lock_timeout,
        keep_going,
        canary,
        yes,
        only_behind,
        which(tenant, every),
    )
    answered(context, app, json, database, moving("upgrade", revision, wish, sql=sql, look=look, isolation=isolation))


@app.command(context_settings={"ignore_unknown_options": True})  # for -1
def downgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Such as -1, or base.")],
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    keep_going: KeepGoing = False,
    canary: Canary = "0",
    only_behind: OnlyBehind = False,
    tenant: Tenant = None,
    every: All = False,
    sql: Sql = False,
    lock_timeout: LockTimeout = 60,
    yes: Yes = False,
    isolation: Isolated = "thread",
    look: Look = False,
) -> None:
    """Bring the databases down to a revision."""

    wish = Wish(
        database,
        app or context.obj,
        json,
        jobs,
        lock_timeout,
        keep_going,
        canary,
        yes,
        only_behind,
        which(tenant, every),
    )
    command = moving("downgrade", revision, wish, sql=sql, look=look, isolation=isolation)
    answered(context, app, json, database, command, revision=revision)


@app.command()
def stamp(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REVISION")],
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    lock_timeout: LockTimeout = 60,
    tenant: Tenant = None,
    every: All = False,
) -> None:
    """Write down that the databases are at a revision, and change nothing else in them."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import moves

        wish = Wish(database, app or context.obj, json, jobs, lock_timeout, yes=True, tenants=which(tenant, every))
        return moves.stamp(databases, revision, wish)

    answered(context, app, json, database, command)


@app.command()
def setup(
    context: typer.Context,
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    keep_going: KeepGoing = False,
    lock_timeout: LockTimeout = 60,
    yes: Yes = False,
    tenant: Tenant = None,
    every: All = False,
) -> None:
    """Create the databases that are missing, and bring all to their heads. Can be done again and again."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import moves

        wish = Wish(
            database, app or context.obj, json, jobs, lock_timeout, keep_going, yes=yes, tenants=which(tenant, every)
        )
        return moves.setup(databases, wish)

    answered(context, app, json, database, command)


@app.command()
def status(
    context: typer.Context,
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    quick: Annotated[bool, typer.Option("--quick", help="Do not compare with the models.")] = False,
    tenant: Tenant = None,
    every: All = False,
) -> None:
    """Tell where each database is, what it lacks, who migrates it, and whether it is as its models say."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import states

        return states.status(databases, database, quick=quick, jobs=jobs, tenants=which(tenant, every, "sample"))

    answered(context, app, json, database, command)


@app.command()
def current(
    context: typer.Context,
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    tenant: Tenant = None,
    every: All = False,
) -> None:
    """Tell the revision of each database."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import states

        return states.current(databases, database, jobs=jobs, tenants=which(tenant, every, "sample"))

    answered(context, app, json, database, command)


@app.command()
def check(
    context: typer.Context,
    app: App = None,
    json: Json = False,
    database: Names = None,
    jobs: Jobs = 8,
    lint: Annotated[bool, typer.Option("--lint", help="Tell the risks of what is pending, too.")] = False,
    tenant: Tenant = None,
    every: All = False,
) -> None:
    """Tell how the databases differ from their models; fail if one does."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import states

        return states.check(databases, database, lint=lint, jobs=jobs, tenants=which(tenant, every, "sample"))

    answered(context, app, json, database, command)


@app.command()
def history(context: typer.Context, app: App = None, json: Json = False, database: Names = None) -> None:
    """List the revisions, the newest first."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import revisions

        return revisions.tell_history(databases, database)

    answered(context, app, json, database, command)


@app.command()
def heads(context: typer.Context, app: App = None, json: Json = False, database: Names = None) -> None:
    """List the newest revision of each history, or several where they have to be merged."""

    def command(databases: Databases) -> Answer:
        from manybase.cli import revisions

        return revisions.tell_heads(databases, database)

    answered(context, app, json, database, command)


@app.command()
def merge(
    context: typer.Context,
    revisions: Annotated[list[str] | None, typer.Argument(metavar="[REVISIONS]", help="Else all heads.")] = None,
    message: Message = None,
    app: App = None,
    json: Json = False,
    database: Names = None,
) -> None:
    """Write a revision that joins several heads, where there are several."""

    def command(databases: Databases) -> Answer:
        from manybase.cli.revisions import merge

        return merge(databases, database, revisions or ["heads"], message)

    answered(context, app, json, database, command)


def which(tenant: list[str] | None, every: bool, otherwise: Which = None) -> Which:
    """The tenants that are meant."""
    if tenant and every:
        raise UsageError("Give --tenant NAME or --all, not both.")
    return tenant or ("all" if every else otherwise)


def moving(direction: Direction, revision: str, wish: Wish, *, sql: bool, look: bool, isolation: Isolation) -> Command:
    def command(databases: Databases) -> Answer:
        from manybase.cli import isolation as processes
        from manybase.cli import moves

        if sql:
            return moves.write_sql(databases, direction, revision, wish)
        if look:
            return moves.look(databases, direction, revision, wish)
        if isolation == "process":
            return moves.Watch(databases, direction, revision, wish).over(processes.run_in_processes)
        return moves.move(databases, direction, revision, wish)

    return command


def answered(
    context: typer.Context, app: str | None, json: bool, names: list[str] | None, command: Command, revision: str = ""
) -> None:
    """Exit as the command answers."""

    def done(databases: Databases) -> int:
        if revision.startswith("-") and not STEPS_DOWN.fullmatch(revision):
            raise UsageError(f"There is no option {revision}. See manybase downgrade --help.")
        if find_spec("alembic") is None:
            raise UsageError(
                "Migrations need alembic, which manybase does not install by itself. Install it: "
                "pip install 'manybase[migrations]'"
            )
        from manybase.cli.answers import answer

        chosen(databases, names)
        return answer(lambda: command(databases), json=json)

    finish(context, app, json, done)
