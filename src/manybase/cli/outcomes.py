"""Outcomes: how several databases fared, as a document, as text and as an exit code."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from manybase.cli import printing
from manybase.errors import ManybaseError, MigrationFailed, MigrationLocked, PartlyMigrated, listed
from manybase.migrations import Migrated, Outcome, Revised
from manybase.migrations.failures import cause
from manybase.parts import base_of
from manybase.tenants import AT

DONE, FAILED, PARTLY, INTERRUPTED = 0, 1, 3, 130
UNKNOWN_REVISION = re.compile(r"Can't locate revision identified by '([^']*)'")


def text(database: str, error: BaseException) -> str:
    """What went wrong with a database. Of errors that are not ours only the kind, for the rest may be a secret."""
    if isinstance(error, ManybaseError):
        return str(error)
    why = cause(error) if isinstance(error, SQLAlchemyError) else f"{type(error).__name__}."
    return f"Database {database!r} failed. {why}"


def facts(error: BaseException) -> dict[str, Any]:
    if isinstance(error, MigrationFailed):
        return {"database": error.database, "revision": error.revision, "applied": list(error.applied)}
    if isinstance(error, MigrationLocked):
        return {"database": error.database, "seconds": error.seconds, "holder": error.holder}
    return {}


def failures(failed: dict[str, Exception]) -> list[dict[str, Any]]:
    return [
        {"database": name, "kind": type(error).__name__, "error": text(name, error), **facts(error)}
        for name, error in failed.items()
    ]


def code_of(outcome: Outcome[Any]) -> int:
    if outcome.interrupted:
        return INTERRUPTED
    if outcome.failed or outcome.pending:
        return PARTLY if any(map(is_new, outcome.done.values())) else FAILED
    return DONE


def document_of(outcome: Outcome[Migrated]) -> dict[str, Any]:
    """``error`` is there where not all is done."""
    document = {
        "done": [asdict(each) for each in outcome.done.values()],
        "failed": failures(outcome.failed),
        "pending": outcome.pending,
        "interrupted": outcome.interrupted,
    }
    if code_of(outcome) == DONE:
        return document
    return {"error": summary(outcome), **document}


def summary(outcome: Outcome[Any]) -> str:
    if outcome.interrupted:
        return (
            f"Interrupted. Done: {listed(outcome.done)}. Failed: {listed(outcome.failed)}. Still to do: "
            f"{listed(outcome.pending)}. Run it again to go on."
        )
    if len(outcome.failed) == 1 and not outcome.done and not outcome.pending:
        return text(*next(iter(outcome.failed.items())))
    told = {name: Told(text(name, error)) for name, error in outcome.failed.items()}
    return str(PartlyMigrated(outcome.done, told, outcome.pending))


class Told(Exception):
    """An error of which only the text is left."""


def tell(outcome: Outcome[Migrated], told: Collection[str]) -> None:
    """What is left to say when each database that ended has been ``told`` already."""
    complain({name: error for name, error in outcome.failed.items() if name not in told})
    idle = sum(1 for each in outcome.done.values() if not has_moved(each))
    if idle:
        printing.say(f"Nothing to do: {databases_of(idle)}.")
    if code_of(outcome) == DONE:
        return
    if outcome.interrupted:
        printing.complain(summary(outcome))
    elif outcome.done or outcome.pending or len(outcome.failed) > 1:
        printing.complain(
            f"Done: {listed(outcome.done)}. Failed: {listed(outcome.failed)}. Not begun: {listed(outcome.pending)}. "
            "Correct that and run it again: what is done is passed over."
        )


def complain(failed: Mapping[str, Exception]) -> None:
    """What went wrong: several parts of a database that failed alike are told together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, error in failed.items():
        tenant = name.partition(AT)[2].rpartition(".")[2]
        told = text(name, error)
        alike.setdefault((base_of(name), told.replace(tenant, "*") if tenant else told), []).append(name)
    for (base, _), names in alike.items():
        first = text(names[0], failed[names[0]])
        if len(names) == 1:
            printing.complain(first)
        else:
            parts = listed(name.partition(AT)[2] for name in names)
            printing.complain(f"{base}: {len(names)} parts failed alike: {parts}. The first of them: {first}")


def has_moved(migrated: Migrated) -> bool:
    return bool(migrated.revisions) or migrated.before != migrated.after


def databases_of(count: int) -> str:
    return f"{count} database{'' if count == 1 else 's'}"


def misunderstood(outcome: Outcome[Any], revision: str) -> str | None:
    """What to say where the revision that was asked for is nowhere: another one may be missing in a history."""
    for name, error in outcome.failed.items():
        found = UNKNOWN_REVISION.search(text(name, error))
        if found is None or found[1] not in revision:
            return None
    if not outcome.failed or any(map(is_new, outcome.done.values())):
        return None
    return text(*next(iter(outcome.failed.items())))


def is_new(result: object) -> bool:
    """Whether that was not so before."""
    if isinstance(result, Migrated):
        return has_moved(result)
    return not isinstance(result, Revised) or result.path is not None
