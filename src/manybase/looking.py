"""Looking: what a replica and its primary say of themselves, noted for all who read there."""

from __future__ import annotations

import time

from sqlalchemy import Connection

from manybase import replication
from manybase.engines import Databases
from manybase.replicas import Replica, ReplicaSet


def note_look(replicas: ReplicaSet, replica: Replica, connection: Connection) -> None:
    """What a replica says of itself."""
    replica.note(replication.look(connection), replicas.log, replicas.max_lag, time.monotonic())


def note_log(replicas: ReplicaSet, connection: Connection) -> None:
    """Where the log of the primary stands."""
    now = time.monotonic()
    point = replication.log_of(connection)
    if point is not None:
        replicas.log.note(point, now)


def look_beside(databases: Databases, replicas: ReplicaSet, replica: Replica, *, asyncio: bool) -> None:
    """Look at one replica on a connection of its own; whatever fails, nobody should be sent there."""
    now = time.monotonic()
    try:
        with databases.beside(replica.name, asyncio=asyncio) as connection:
            note_look(replicas, replica, connection)
    except Exception:
        replica.note_failure(now)
