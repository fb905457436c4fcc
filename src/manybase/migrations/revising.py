"""Revising: new revisions, written from the difference between the models and a database, or empty."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.autogenerate import RevisionContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import CommandError, rev_id

from manybase.engines import Databases
from manybase.errors import ConfigurationError, ManybaseError, MigrationFailed
from manybase.migrations.environments import Heads, Target, in_database
from manybase.migrations.failures import failed
from manybase.migrations.histories import History, histories
from manybase.parts import base_of, chosen, is_alone, shared_shards


@dataclass(frozen=True)
class Revised:
    """What a history got: a new file, or none where its database and its models agree."""

    history: str
    databases: tuple[str, ...]
    revision: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Wanted:
    """What the new revisions are to be like, in Alembic's words."""

    message: str | None
    empty: bool = False
    head: str = "head"
    splice: bool = False
    rev_id: str | None = None
    branch_label: str | None = None
    depends_on: str | None = None


def revise(
    databases: Databases, names: Collection[str] | None, wanted: Wanted, *, tenants: Collection[str] | None = None
) -> list[Revised]:
    """A new revision in each history that needs one. Raises ``ConfigurationError`` where there are no models to ask.

    Of a database with tenants one is compared, the first of ``tenants`` or of all.
    """
    meant = histories(databases, names)
    if names is None and not wanted.empty:
        meant = [each for each in meant if each.has_environment or has_models(databases, each)]
    for history in meant:
        if not wanted.empty and not history.has_environment and not has_models(databases, history):
            raise ConfigurationError(
                f"Database {history.name!r} declares no models: compared with nothing, everything in it would be "
                "dropped. Declare them, Database(..., models=...); or write the revision yourself: --empty."
            )
    for history in meant:
        make_directory(history)
    compared = {each.name: "" if wanted.empty else compared_in(databases, each, names, tenants) for each in meant}
    return [revise_one(databases, history, compared[history.name], wanted) for history in meant]


def compared_in(
    databases: Databases, history: History, names: Collection[str] | None, tenants: Collection[str] | None
) -> str:
    """Of several databases that share a history, the first is compared; of one with tenants, one part."""
    name = history.databases[0]
    if name not in databases.tenants:
        return name
    named = [each for each in names or () if base_of(each) == name and is_alone(databases, each)]
    found = named or shared_shards(databases, name) or chosen(databases, [name], tenants or "all")
    if not found:
        raise ConfigurationError(
            f"Database {name!r} has no tenants yet to compare the models with. Create one: manybase init, then "
            "manybase tenants create NAME; or write the revision yourself: --empty."
        )
    return found[0]


def has_models(databases: Databases, history: History) -> bool:
    databases.load()
    return all(databases.ownership.declares_models(name) for name in history.databases)


def make_directory(history: History) -> bool:
    """Whether it was missing."""
    if history.exists:
        return False
    (history.folder / "versions").mkdir(parents=True, exist_ok=True)
    return True


def revise_one(databases: Databases, history: History, compared: str, wanted: Wanted) -> Revised:
    arguments: dict[str, Any] = {
        "message": wanted.message,
        "autogenerate": not wanted.empty,
        "sql": False,
        "head": wanted.head,
        "splice": wanted.splice,
        "branch_label": wanted.branch_label,
        "version_path": None,
        "rev_id": wanted.rev_id,
        "depends_on": wanted.depends_on,
    }
    scripts = history.scripts
    context = RevisionContext(history.configuration(), scripts, arguments)
    try:
        if not wanted.empty:
            in_database(databases, history, compared, lambda target: compare(target, context))
            if all(
                operations.is_empty() for each in context.generated_revisions for operations in each.upgrade_ops_list
            ):
                return Revised(history.name, history.databases)
        made = [script for script in context.generate_scripts() if script is not None]
    except CommandError as error:
        raise MigrationFailed(history.name, explained(str(error))) from error
    return written(history, made[0])


def compare(target: Target, context: RevisionContext) -> None:
    def look(heads: Heads, migration: MigrationContext) -> Iterable[Any]:
        context.run_autogenerate(heads, migration)
        return ()

    try:
        target.run(
            look,
            compare=True,
            together=True,
            dont_mutate=True,
            template_args=context.template_args,
            revision_context=context,
        )
    except (ManybaseError, CommandError):
        raise
    except Exception as error:
        raise failed(target.name, error) from error


def merge(
    databases: Databases,
    names: Collection[str] | None,
    revisions: str | Sequence[str] = "heads",
    message: str | None = None,
) -> list[Revised]:
    """A revision that joins several heads, in each history that has them."""
    found = []
    for history in histories(databases, names):
        if len(history.scripts.get_heads()) < 2:
            continue
        template: dict[str, Any] = {"config": history.configuration()}
        heads = revisions if isinstance(revisions, str) else tuple(revisions)
        try:
            made = history.scripts.generate_revision(rev_id(), message, head=heads, **template)
        except CommandError as error:
            raise MigrationFailed(history.name, explained(str(error))) from error
        assert made is not None
        found.append(written(history, made))
    return found


def written(history: History, script: Script) -> Revised:
    vars(history).pop("scripts", None)  # there is one more now
    return Revised(history.name, history.databases, script.revision, Path(script.path))


def explained(text: str) -> str:
    if "not up to date" in text:
        return "It is not at its head: run `manybase upgrade` first, then compare."
    return text if text.endswith(".") else f"{text}."
