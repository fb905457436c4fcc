"""``manybase tenants``: who the tenants are, one more, and one less."""

from __future__ import annotations

from dataclasses import asdict

from manybase import lifecycle
from manybase.cli import printing
from manybase.cli.answers import Answer
from manybase.cli.application import UsageError
from manybase.cli.questions import answer, is_answered
from manybase.engines import Databases
from manybase.errors import listed
from manybase.lifecycle import Loss
from manybase.parts import listed as tenants_of
from manybase.parts import name_of

FAILED = 1
COLUMNS = ("database", "tenant", "shard", "part")


def list_tenants(databases: Databases, name: str | None) -> Answer:
    chosen = [each for each in databases.tenants if name in (None, each)]
    if not chosen:
        raise UsageError("No database declares tenants=." if name is None else f"Database {name!r} has no tenants.")
    rows = [
        (each, tenant, shard, name_of(databases.tenants.placed(each, tenant, shard)))
        for each in chosen
        for tenant, shard in tenants_of(databases, each)
    ]
    document = {"tenants": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}
    return Answer(document, lambda: printing.table(COLUMNS, rows))


def create(databases: Databases, tenant: str, *, shard: str | None, database: str | None) -> Answer:
    made = lifecycle.create_tenant(databases, tenant, shard=shard, database=database)
    forgotten = [each for each in databases.tenants if made.entered and not databases.tenants.directory(each).asks]

    def tell() -> None:
        printing.say(f"Made: {listed(made.made)}. At head: {listed(made.parts)}.")
        if forgotten:
            printing.say(
                f"The directory of {listed(forgotten)} is a collection in your program: enter {tenant!r} there, for "
                "what this command enters is gone with it."
            )

    return Answer(asdict(made), tell)


def drop(
    databases: Databases, tenant: str, *, shard: str | None, database: str | None, yes: bool, json: bool
) -> Answer:
    found = lifecycle.losses(databases, tenant, shard=shard, database=database)
    if not yes and (json or not is_agreed(tenant, found)):
        said = "; ".join(map(said_of, found)) or "nothing on the servers"
        text = (
            f"Nothing was changed. Tenant {tenant!r} has {said}, and all of it would be lost. If that is meant: --yes."
        )
        document = {"error": text, "losses": [asdict(each) for each in found]}
        return Answer(document, lambda: printing.complain(text), FAILED)
    done = lifecycle.drop_tenant(databases, tenant, shard=shard, database=database)

    def tell() -> None:
        if not done.parts and not done.left:
            printing.say(f"Nothing to do: there is nothing of tenant {tenant!r}.")
            return
        printing.say(f"Dropped: {listed(done.parts)}.")
        if done.kept:
            printing.say(f"His rows in {listed(done.kept)} stay: the tables there are those of other tenants too.")

    return Answer({**asdict(done), "losses": [asdict(each) for each in found]}, tell)


def said_of(loss: Loss) -> str:
    if loss.shared:
        return f"rows in {loss.part}, which stay"
    return f"{loss.part} with {loss.tables} tables ({loss.size / 1_000_000:.1f} MB)"


def is_agreed(tenant: str, found: list[Loss]) -> bool:
    if not is_answered():
        return False
    for each in found:
        printing.say(said_of(each))
    return answer(f"All of that is lost. Write the name of the tenant to go on ({tenant}): ").strip() == tenant
