"""``manybase doctor`` and ``manybase ping``: how the databases are."""

from __future__ import annotations

import asyncio as aio
from dataclasses import asdict

from manybase.cli import asking, printing
from manybase.doctor import diagnose
from manybase.engines import Databases
from manybase.health import DatabaseHealth, Health
from manybase.tenants import AT

DONE, FAILED, PARTLY = 0, 1, 3
SECONDS = 5.0  # until a database counts as silent


def examine(databases: Databases, names: list[str], *, json: bool, strict: bool) -> int:
    found = asking.through_its_drivers(databases, lambda asyncio: diagnose(databases, asyncio=asyncio))
    found = [each for each in found if each.database is None or each.database.partition(AT)[0] in names]
    if json:
        printing.as_json({"findings": [asdict(each) for each in found]})
    else:
        rows = [(each.level, each.database or "all", each.topic, each.message) for each in found]
        printing.table(("level", "database", "topic", "what it means"), rows)
    levels = {each.level for each in found}
    return FAILED if "fail" in levels or (strict and "warn" in levels) else DONE


def ping(databases: Databases, names: list[str], *, json: bool) -> int:
    found = aio.run(Health(databases, timeout=SECONDS).check_all(names))
    if json:
        printing.as_json({"databases": [asdict(each) for each in found]})
    else:
        every = [part for each in found for part in (each, *each.shards)]
        rows = [(each.database, each.status, each.latency_ms, why(each)) for each in every]
        printing.table(("database", "status", "ms", "error"), rows)
    answered = [each.connected for each in found]
    return DONE if all(answered) else PARTLY if any(answered) else FAILED


def why(found: DatabaseHealth) -> str | None:
    directory = None if found.directory in (None, "ok") else f"directory: {found.directory}"
    return found.error or directory
