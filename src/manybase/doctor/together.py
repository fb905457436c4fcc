"""Together: what follows from the facts of all databases for one commit over them. No connection is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from manybase import decision
from manybase.doctor.facts import Facts
from manybase.doctor.findings import Finding
from manybase.participants import MYSQL

ALONE = ("connection", "in doubt", "tables", "file", "replica", "connections", "tenants")


def conclude(facts: Sequence[Facts]) -> list[Finding]:
    """The findings of each database, then those about all."""
    lasting = [each for each in facts if each.lasts]
    several = len(lasting) > 1
    own = [finding for each in facts for finding in (among(each, lasting) if several else alone(each))]
    return [*own, *slots(lasting), *unable_ones(lasting), *coordinator(lasting)] if several else own


def alone(facts: Facts) -> list[Finding]:
    """Of a single database: what is not about commits over several."""
    return [each for each in facts.findings if each.topic in ALONE] or [fine(facts)]


def among(facts: Facts, all_facts: Sequence[Facts]) -> list[Finding]:
    return [softened(each, facts, all_facts) for each in facts.findings] or [fine(facts)]


def softened(finding: Finding, facts: Facts, all_facts: Sequence[Facts]) -> Finding:
    """A PostgreSQL that can prepare decides only between itself and other ones."""
    others = [each for each in all_facts if each.backend == "postgresql" and each is not facts]
    if finding.topic == "decisions" and finding.level == "fail" and facts.slots and not others:
        return replace(finding, level="warn")
    return finding


def fine(facts: Facts) -> Finding:
    message = (
        "It answers." if facts.answers else "Nothing to look at: in memory, no file yet, or not known to manybase."
    )
    return Finding(facts.name, "ok", "connection", message)


def groups_of_unable(facts: Sequence[Facts]) -> list[list[Facts]]:
    """Those that cannot prepare. SQLite files that commit together by ATTACH count as one."""
    unable = [each for each in facts if each.prepares is False and each.backend not in MYSQL]
    attached = [each for each in unable if each.attachable and not each.obstacles]
    return [*([attached] if attached else []), *([each] for each in unable if each not in attached)]


def unable_ones(facts: Sequence[Facts]) -> Iterator[Finding]:
    groups = groups_of_unable(facts)
    several = len(groups) > 1
    for each in facts:
        if each.slots == 0:
            message = (
                "max_prepared_transactions = 0: it cannot prepare, so it is always the one that decides, and two such "
                "databases cannot be committed together. Set it to at least max_connections and restart the server."
            )
            yield Finding(each.name, "fail" if several else "warn", "prepare", message)
    outranked = bool(groups)
    for each in facts:
        if each.backend in MYSQL:
            if each.prepares is False and outranked:
                message = (
                    "It is a Galera cluster, which does not support XA, and another database would decide over it. "
                    "Declare it before other MySQL databases and commit it apart from SQLite files, or by itself."
                )
                yield Finding(each.name, "fail", "prepare", message)
            outranked = True
    files = [each for each in facts if each.attachable]
    obstacles = [f"{each.name} has {' and '.join(each.obstacles)}" for each in files if each.obstacles]
    if len(files) > 1 and obstacles:
        message = (
            f"SQLite files commit together on one connection, but not as they are: {'; '.join(obstacles)}. A commit "
            "over such files is refused. Set PRAGMA journal_mode=DELETE and PRAGMA synchronous=NORMAL or FULL, or say "
            "atomic=False."
        )
        yield Finding(None, "warn", "journal", message)
    elif len(files) > 1:
        message = f"SQLite files, which commit together on one connection: {', '.join(each.name for each in files)}."
        yield Finding(None, "ok", "journal", message)
    if several:
        named = " or ".join(" and ".join(each.name for each in group) for group in groups)
        message = (
            f"Of these, one commit may write only one, for none of them can prepare: {named}. Otherwise it raises "
            "AtomicityError, unless the session says atomic=False."
        )
        yield Finding(None, "warn", "atomicity", message)


def coordinator(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Who would decide a commit over all."""
    groups = groups_of_unable(facts)
    if len(groups) > 1 or any(each.prepares is None for each in facts):
        return  # there is no such commit, or it cannot be told
    ranked = [
        *(each for group in groups for each in group),
        *(each for each in facts if each.backend in MYSQL),
        *facts,
    ]
    chosen = ranked[0]
    if chosen.backend not in decision.BY_DIALECT:
        message = (
            f"It cannot prepare, and manybase cannot keep a decision in {chosen.backend}: what is written there cannot "
            "be committed together with another database, unless the session says atomic=False."
        )
        yield Finding(chosen.name, "warn", "coordinator", message)
    elif all(each.backend == "sqlite" for each in facts):
        return
    elif chosen.backend == "sqlite":
        message = (
            "It decides the commits over it and others. It is a file: what is in doubt can only be ended where the "
            "file is, and a copy or backup of it that is put back forgets decisions. Keep it on a disk that lasts, and "
            "run recovery on that machine."
        )
        yield Finding(chosen.name, "warn", "coordinator", message)
    elif chosen.loses_decisions is not None:
        message = (
            f"It decides the commits over all databases, and {chosen.loses_decisions}: a failover can lose a decision "
            "that others have already followed. Replicate it synchronously."
        )
        yield Finding(chosen.name, "warn", "coordinator", message)
    else:
        yield Finding(chosen.name, "ok", "coordinator", "It decides the commits over all databases.")


def slots(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Whether each server keeps as many transactions prepared as this process alone could want."""
    servers = sorted((each for each in facts if each.slots), key=attrgetter("server"))
    for _, on_server in groupby(servers, key=attrgetter("server")):
        those = list(on_server)
        has = those[0].slots or 0
        pools = [each.pool for each in those]
        wanted = sum(pool for pool in pools if pool is not None)
        if None not in pools and wanted <= has:
            continue
        most = "as many as there are connections" if None in pools else f"up to {wanted} (pool_size + max_overflow)"
        message = (
            f"max_prepared_transactions = {has} on the server of {', '.join(each.name for each in those)}, and each "
            f"process of this application may want {most}. Commits beyond it wait, or fail where several processes "
            "take them. Set it to what all processes may want together: max_connections is always enough."
        )
        yield Finding(those[0].name, "warn", "slots", message)
