"""Whether what is declared as a replica is one, of this primary, and fit to serve."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlalchemy import Connection

from manybase import replication
from manybase.doctor.findings import Finding, Level
from manybase.engines import Databases
from manybase.health import kind_of
from manybase.replicas import Look
from manybase.replication import KNOWN

TOPIC = "replica"


def examine_replicas(databases: Databases, name: str, primary: Connection, *, asyncio: bool) -> Iterator[Finding]:
    """Each replica of a database, whose primary answers on a connection."""
    finding = partial(Finding, name, topic=TOPIC)
    if name not in databases.replicas:
        return
    if primary.dialect.name not in KNOWN:
        yield finding(
            "warn",
            message=f"manybase knows no log positions of {primary.dialect.name}: for an hour, who has written reads "
            "from the primary. Others read from the replicas, however far these are behind.",
        )
        return
    try:
        system = replication.system_of(primary)
    except Exception as error:
        system = None
        yield finding(
            "warn", message=f"Its log position cannot be read ({kind_of(error)}): who has written reads here."
        )
    for replica in databases.replicas[name]:
        try:
            with databases.beside(replica.name, asyncio=asyncio) as connection:
                look = replication.look(connection)
        except Exception as error:
            yield finding("warn", message=f"{replica.name} does not answer ({kind_of(error)}): it serves nobody.")
            continue
        yield from (finding(level, message=f"{replica.name} {text}") for level, text in judged(look, system))


def judged(look: Look, system: int | None) -> Iterator[tuple[Level, str]]:
    if not look.follows:
        yield "fail", "is no replica: it follows nobody. Was it promoted? Correct replicas= of this database."
        return
    if None not in (system, look.system) and look.system != system:
        yield "fail", "is a replica of another primary. Correct replicas=, or the URL of this database."
        return
    if look.paused:
        yield "warn", "replays nothing: somebody has paused it. Until it is resumed, it serves nobody."
    elif not look.streaming:
        yield "warn", "receives nothing from its primary. Look into its server log."
    else:
        behind = "" if look.lag is None else f", {look.lag:.1f} s behind"
        yield "ok", f"is a replica of this primary{behind}."
    if look.lacks is not None:
        yield (
            "warn",
            f"does not tell this user everything: who has written reads from the primary. Grant {look.lacks} to it.",
        )
