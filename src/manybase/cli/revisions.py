"""``manybase init``, ``revision``, ``merge``, ``history`` and ``heads``: the revisions there are, and new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from manybase import migrations
from manybase.cli import outcomes, printing
from manybase.cli.answers import Answer
from manybase.cli.application import UsageError
from manybase.cli.progress import together
from manybase.engines import Databases
from manybase.errors import MigrationError, listed
from manybase.migrations import History, Outcome, Revised, Wanted
from manybase.migrations.revising import has_models
from manybase.parts import base_of

Names = list[str] | None


def initialize(databases: Databases, names: Names) -> Answer:
    made = migrations.initialize(databases, names=names)
    every = migrations.histories(databases, names)
    document = {"histories": [{**about(each), "made": each.name in {one.name for one in made}} for each in every]}
    lines = [f"{titled(each)}: made {each.folder}" for each in made]
    return Answer(document, lambda: say(lines or ["Nothing to do: every history has its directory."]))


def revise(databases: Databases, names: Names, wanted: Wanted, *, tenants: Names = None) -> Answer:
    """A history after the other, so that what was written before one failed is told."""
    chosen = migrations.histories(databases, names)
    if names is None and not wanted.empty:
        chosen = [each for each in chosen if each.has_environment or has_models(databases, each)]
    if not chosen:
        raise UsageError("No database declares models: Database(..., models=...). Or write the revision: --empty.")
    asked = f"{wanted.head} {wanted.depends_on}"

    def write(history: History) -> list[Revised]:
        among = [each for each in names or history.databases if base_of(each) in history.databases]
        return migrations.revise(databases, among, wanted, tenants=tenants)

    return one_by_one(chosen, write, "no changes", asked)


def merge(databases: Databases, names: Names, revisions: Sequence[str], message: str | None) -> Answer:
    chosen = migrations.histories(databases, names)
    joined = "it has a single head"
    asked = " ".join(revisions)
    return one_by_one(
        chosen, lambda each: migrations.merge(databases, each.databases, revisions, message), joined, asked
    )


def one_by_one(
    chosen: Sequence[History], write: Callable[[History], list[Revised]], otherwise: str, asked: str
) -> Answer:
    """What each history got, until one fails. ``asked``: the revisions that were named."""
    outcome: Outcome[Revised] = Outcome()
    for history in chosen:
        if outcome.failed:
            outcome.pending.append(history.name)
            continue
        try:
            (outcome.done[history.name],) = write(history) or [Revised(history.name, history.databases)]
        except MigrationError as error:
            outcome.failed[history.name] = error
    if (why := outcomes.misunderstood(outcome, asked)) is not None:
        raise UsageError(why)
    return written(outcome, otherwise)


def written(outcome: Outcome[Revised], otherwise: str) -> Answer:
    done = [
        {
            "history": each.history,
            "databases": list(each.databases),
            "revision": each.revision,
            "path": None if each.path is None else str(each.path),
        }
        for each in outcome.done.values()
    ]
    document: dict[str, Any] = {
        "done": done,
        "failed": outcomes.failures(outcome.failed),
        "pending": outcome.pending,
    }
    if outcome.failed:
        document = {"error": outcomes.summary(outcome), **document}

    def tell() -> None:
        for each in outcome.done.values():
            printing.say(f"{each.history}: {otherwise if each.path is None else f'wrote {each.path}'}")
        for name, error in outcome.failed.items():
            printing.complain(outcomes.text(name, error))

    return Answer(document, tell, outcomes.code_of(outcome))


def tell_history(databases: Databases, names: Names) -> Answer:
    every = migrations.histories(databases, names)
    document = {
        "histories": [{**about(each), "revisions": [described(one) for one in revisions(each)]} for each in every]
    }
    lines = [
        line for each in every for line in [f"{titled(each)}:", *(f"  {sentence(one)}" for one in revisions(each))]
    ]
    return Answer(document, lambda: say(lines))


def tell_heads(databases: Databases, names: Names) -> Answer:
    every = migrations.histories(databases, names)
    heads = {each.name: list(each.scripts.get_heads()) for each in every}
    document = {"histories": [{**about(each), "heads": heads[each.name]} for each in every]}
    lines = [f"{titled(each)}: {', '.join(heads[each.name]) or 'no revision yet'}" for each in every]
    return Answer(document, lambda: say(lines))


def revisions(history: History) -> list[Any]:
    return list(history.scripts.walk_revisions())


def about(history: History) -> dict[str, Any]:
    return {"history": history.name, "databases": list(history.databases), "folder": str(history.folder)}


def described(script: Any) -> dict[str, Any]:
    return {
        "revision": script.revision,
        "down_revisions": together(script.down_revision),
        "message": script.doc,
        "branch_labels": sorted(script.branch_labels),
        "depends_on": together(script.dependencies),
        "is_head": script.is_head,
        "path": script.path,
    }


def sentence(script: Any) -> str:
    marks = [*sorted(script.branch_labels), *(["head"] if script.is_head else [])]
    told = f" ({', '.join(marks)})" if marks else ""
    return f"{', '.join(together(script.down_revision)) or 'base'} -> {script.revision}{told}: {script.doc}"


def titled(history: History) -> str:
    others = [each for each in history.databases if each != history.name]
    return f"{history.name} (also {listed(others)})" if others else history.name


def say(lines: Sequence[str]) -> None:
    for each in lines:
        printing.say(each)
