"""``manybase status``, ``current`` and ``check``: where the databases are, and how they differ from their models."""

from __future__ import annotations

import asyncio as aio
from dataclasses import asdict
from typing import Any

from manybase import migrations
from manybase.cli import outcomes, printing, risks
from manybase.cli.answers import Answer
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.health import Health
from manybase.migrations import Drift, Outcome, State
from manybase.replica_health import ReplicaHealth

DONE, FAILED, PARTLY = 0, 1, 3
SECONDS = 5.0  # until a server counts as silent
REPLICA_COLUMNS = ("replica", "role", "state", "behind", "by position")
COLUMNS = ("database", "current", "head", "pending", "lock", "drift")
Names = list[str] | None


def status(databases: Databases, names: Names, *, quick: bool, jobs: int) -> Answer:
    found = migrations.status(databases, names=names, jobs=jobs)
    drift: Outcome[Drift] = Outcome()
    if not quick:
        drift = migrations.check(databases, names=list(found.done), jobs=jobs)
    behind = [name for name, state in found.done.items() if not state.at_head or differs(drift, name)]
    silent = {**found.failed, **{name: error for name, error in drift.failed.items() if not is_incomparable(error)}}
    code = PARTLY if silent else FAILED if behind else DONE
    order = in_order(databases, [*found.done, *found.failed])
    replicas = replicas_of(databases, order)
    document: dict[str, Any] = {
        "databases": [
            described(found.done[name], drift, quick=quick) | with_replicas(replicas, name)
            for name in order
            if name in found.done
        ],
        "failed": outcomes.failures(silent),
    }
    if silent:
        document = {"error": f"Did not answer: {', '.join(in_order(databases, silent))}.", **document}

    def tell() -> None:
        rows = [row(name, found, drift, quick=quick) for name in order]
        printing.table(COLUMNS[:-1] if quick else COLUMNS, rows)
        if replicas:
            printing.table(REPLICA_COLUMNS, [cells_of(each) for found in replicas.values() for each in found])
        complain_of(silent)

    return Answer(document, tell, code)


def replicas_of(databases: Databases, names: list[str]) -> dict[str, tuple[ReplicaHealth, ...]]:
    """What their replicas say right now, of those that have any."""
    asked = [name for name in names if name in databases.replicas]
    found = aio.run(Health(databases, timeout=SECONDS).check_all(asked)) if asked else []
    return {each.database: each.replicas or told_nothing(databases, each.database) for each in found}


def told_nothing(databases: Databases, name: str) -> tuple[ReplicaHealth, ...]:
    return tuple(ReplicaHealth(each, None, "unknown") for each in databases.replicas[name].states)


def with_replicas(replicas: dict[str, tuple[ReplicaHealth, ...]], name: str) -> dict[str, Any]:
    return {"replicas": [asdict(each) for each in replicas[name]]} if name in replicas else {}


def cells_of(replica: ReplicaHealth) -> list[str]:
    seconds, lag = replica.lag_seconds, replica.lag
    behind = ["" if seconds is None else f"{seconds:.1f} s", "" if lag is None else str(lag)]
    return [replica.replica, replica.role or "none", replica.state, *behind]


def row(name: str, found: Outcome[State], drift: Outcome[Drift], *, quick: bool) -> list[str]:
    if name not in found.done:
        return [name, "does not answer", *[""] * (3 if quick else 4)]
    state = found.done[name]
    current = ", ".join([each + (" (unknown)" if each in state.unknown else "") for each in state.current]) or "base"
    cells = [name, current, ", ".join(state.heads) or "none", str(len(state.pending)), state.locked_by or ""]
    return cells if quick else [*cells, drift_in_words(drift, name)]


def drift_in_words(drift: Outcome[Drift], name: str) -> str:
    if name in drift.failed:
        return "not comparable" if is_incomparable(drift.failed[name]) else "not known"
    count = len(drift.done[name].differences)
    return f"{count} difference{'' if count == 1 else 's'}" if count else "none"


def described(state: State, drift: Outcome[Drift], *, quick: bool) -> dict[str, Any]:
    known = {**asdict(state), "at_head": state.at_head}
    if quick:
        return known
    return {**known, "drift": drift.done[state.database].differences if state.database in drift.done else None}


def differs(drift: Outcome[Drift], name: str) -> bool:
    return name in drift.done and bool(drift.done[name].differences)


def is_incomparable(error: Exception) -> bool:
    """Nothing is declared to compare it with: that is no failure."""
    return isinstance(error, ConfigurationError)


def current(databases: Databases, names: Names, *, jobs: int) -> Answer:
    found = migrations.status(databases, names=names, jobs=jobs)
    order = in_order(databases, found.done)
    rows = [
        {"database": name, "current": state.current, "unknown": state.unknown, "at_head": state.at_head}
        for name in order
        for state in [found.done[name]]
    ]

    def tell() -> None:
        for name in order:
            state = found.done[name]
            printing.say(f"{name}: {', '.join(state.current) or 'base'}{' (head)' if state.at_head else ''}")
        complain_of(found.failed)

    return Answer(with_failures(rows, found.failed), tell, outcomes.code_of(found))


def check(databases: Databases, names: Names, *, lint: bool, jobs: int) -> Answer:
    found = migrations.check(databases, names=names, jobs=jobs)
    order = migrations.ordered("upgrade", "heads", 0, None)
    plans = risks.look(databases, order, names, jobs=jobs) if lint else Outcome()
    dangers = risks.dangers(list(plans.done.values()))
    failed = {**plans.failed, **found.failed}
    compared = in_order(databases, found.done)
    different = [name for name in compared if found.done[name].differences]
    failures = {name: error for name, error in failed.items() if names or not is_incomparable(error)}
    code = PARTLY if failures and found.done else FAILED if failures or different else DONE
    rows = [{"database": name, "differences": found.done[name].differences} for name in compared]
    document = with_failures(rows, failures)
    if lint:
        document["risks"] = [each.document for each in dangers]

    def tell() -> None:
        for name in compared:
            lines = found.done[name].differences
            printing.say(f"{name}: {'differs from its models' if lines else 'no drift'}")
            for line in lines:
                printing.say(f"  {line}")
        if dangers:
            risks.show(dangers)
        elif lint:
            printing.say("No risks in what is pending.")
        complain_of(failures)

    return Answer(document, tell, code)


def with_failures(rows: list[dict[str, Any]], failed: dict[str, Exception]) -> dict[str, Any]:
    document: dict[str, Any] = {"databases": rows, "failed": outcomes.failures(failed)}
    if failed:
        return {"error": f"It failed in: {', '.join(failed)}.", **document}
    return document


def complain_of(failed: dict[str, Exception]) -> None:
    for name, error in failed.items():
        printing.complain(outcomes.text(name, error))


def in_order(databases: Databases, names: Any) -> list[str]:
    return [name for name in databases.names if name in names]
