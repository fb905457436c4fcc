"""``manybase status``, ``current`` and ``check``: where the databases are, and how they differ from their models."""

from __future__ import annotations

import asyncio as aio
from collections import Counter
from dataclasses import asdict
from typing import Any

from manybase import migrations, parts
from manybase.cli import outcomes, printing, risks
from manybase.cli.answers import Answer
from manybase.engines import Databases
from manybase.errors import ConfigurationError, DirectoryUnavailable
from manybase.health import Health
from manybase.migrations import Drift, Outcome, State
from manybase.parts import Which
from manybase.replica_health import ReplicaHealth
from manybase.tenants import AT

DONE, FAILED, PARTLY = 0, 1, 3
SECONDS = 5.0  # until a server counts as silent
REPLICA_COLUMNS = ("replica", "role", "state", "behind", "by position")
COLUMNS = ("database", "current", "head", "pending", "lock", "drift")
Names = list[str] | None
FEW = 10  # parts of a database that are told one by one
SHOWN = 5  # names in a row


def status(databases: Databases, names: Names, *, quick: bool, jobs: int, tenants: Which = None) -> Answer:
    tenants = which_answer(databases, tenants)
    found = migrations.status(databases, names=names, tenants=tenants, jobs=jobs)
    drift: Outcome[Drift] = Outcome()
    if not quick and found.done:
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
        rows = summarized([row(name, found, drift, quick=quick) for name in order])
        printing.table(COLUMNS[:-1] if quick else COLUMNS, rows)
        tell_sample(databases, tenants, order)
        if replicas:
            printing.table(REPLICA_COLUMNS, [cells_of(each) for found in replicas.values() for each in found])
        outcomes.complain(silent)

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


def current(databases: Databases, names: Names, *, jobs: int, tenants: Which = None) -> Answer:
    tenants = which_answer(databases, tenants)
    found = migrations.status(databases, names=names, tenants=tenants, jobs=jobs)
    order = in_order(databases, found.done)
    rows = [
        {"database": name, "current": state.current, "unknown": state.unknown, "at_head": state.at_head}
        for name in order
        for state in [found.done[name]]
    ]

    def tell() -> None:
        rows = []
        for name in order:
            state = found.done[name]
            rows.append([name, f"{', '.join(state.current) or 'base'}{' (head)' if state.at_head else ''}"])
        for name, at in summarized(rows):
            printing.say(f"{name}: {at}")
        tell_sample(databases, tenants, order)
        outcomes.complain(found.failed)

    return Answer(with_failures(rows, found.failed), tell, outcomes.code_of(found))


def check(databases: Databases, names: Names, *, lint: bool, jobs: int, tenants: Which = None) -> Answer:
    tenants = which_answer(databases, tenants)
    found = migrations.check(databases, names=names, tenants=tenants, jobs=jobs)
    order = migrations.ordered("upgrade", "heads", 0, None)
    plans = risks.look(databases, order, names, jobs=jobs, tenants=tenants) if lint else Outcome()
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
        for name, *lines in summarized([[name, *found.done[name].differences] for name in compared]):
            printing.say(f"{name}: {'differs from its models' if lines else 'no drift'}")
            for line in lines:
                printing.say(f"  {line}")
        tell_sample(databases, tenants, compared)
        if dangers:
            risks.show(dangers)
        elif lint:
            printing.say("No risks in what is pending.")
        outcomes.complain(failures)

    return Answer(document, tell, code)


def with_failures(rows: list[dict[str, Any]], failed: dict[str, Exception]) -> dict[str, Any]:
    document: dict[str, Any] = {"databases": rows, "failed": outcomes.failures(failed)}
    if failed:
        return {"error": f"It failed in: {', '.join(failed)}.", **document}
    return document


def which_answer(databases: Databases, tenants: Which) -> Which:
    """No sample where nobody can tell who the tenants are, such as before the table with their names is made."""
    if tenants != "sample":
        return tenants
    try:
        for each in databases.tenants:
            if databases.tenants.directory(each).lists:
                parts.listed(databases, each)
    except DirectoryUnavailable as error:
        printing.complain(str(error))
        return None
    return tenants


def in_order(databases: Databases, names: Any) -> list[str]:
    return sorted(names, key=parts.in_order(databases))


def summarized(rows: list[list[str]]) -> list[list[str]]:
    """Parts of a database of which the same is to be told share a row, where there are many; the first cell is the
    name."""
    many = Counter(parts.base_of(row[0]) for row in rows)
    told: list[list[str]] = []
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, *cells in rows:
        base = parts.base_of(name)
        if name == base or many[base] <= FEW:
            told.append([name, *cells])
            continue
        names = alike.setdefault((base, *cells), [])
        if not names:
            told.append([base, *cells])
        names.append(name.partition(AT)[2])
    for row in told:
        if names := alike.get(tuple(row), []):
            row[0] = f"{row[0]}{AT}{names[0]}" if len(names) == 1 else f"{row[0]}: {counted(names)}"
    return told


def counted(names: list[str]) -> str:
    return f"{len(names)} tenants" if len(names) > SHOWN else f"{', '.join(names)}"


def tell_sample(databases: Databases, tenants: Which, looked_at: list[str]) -> None:
    """Where only some tenants were looked at, and perhaps not all."""
    counts = Counter(parts.base_of(name) for name in looked_at)
    for base in databases.tenants if tenants == "sample" else ():
        if counts[base] >= parts.SAMPLE:
            printing.say(f"{base}: {counts[base]} of its tenants, taken at random. All of them: --all.")
