"""PostgreSQL: where the log of a primary stands, and how far a standby has replayed it."""

from __future__ import annotations

from collections.abc import Sequence

from manybase.position import Wal
from manybase.replicas import Look

# After the COMMIT: only then is the end of its record in the log. The name of a file of the log begins with the
# timeline that is being written; pg_control_checkpoint() would still say the old one right after a promotion.
CURRENT = (
    "SELECT system_identifier, pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()::text "
    "FROM pg_control_system()"
)
# The byte first, then the timeline: it only grows, so what was replayed then was not of a later one.
REPLAYED = (
    "SELECT pg_is_in_recovery(), lsn::text, (SELECT received_tli FROM pg_stat_wal_receiver) "
    "FROM (SELECT pg_last_wal_replay_lsn() AS lsn OFFSET 0) AS replayed"
)
LOOK = (
    "SELECT pg_is_in_recovery(), lsn::text, (SELECT received_tli FROM pg_stat_wal_receiver), "
    "EXISTS (SELECT FROM pg_stat_wal_receiver), pg_last_wal_receive_lsn()::text, "
    "CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END, "
    "system_identifier, extract(epoch FROM pg_postmaster_start_time())::numeric(20, 6), "
    "pg_has_role('pg_read_all_stats', 'usage') "
    "FROM (SELECT pg_last_wal_replay_lsn() AS lsn OFFSET 0) AS replayed, pg_control_system()"
)
LACKS = "pg_read_all_stats"

Row = Sequence[object]


def current(row: Row) -> Wal:
    system, file, lsn = row
    return Wal.of(int(str(system)), str(file), str(lsn))


def replayed(row: Row, system: int) -> Wal | None:
    """None where it follows nobody any more, or does not say on which timeline it is."""
    follows, lsn, timeline = row
    if not is_true(follows) or lsn is None or timeline is None:
        return None
    return Wal.of(system, int(str(timeline)), str(lsn))


def look(row: Row) -> Look:
    follows, lsn, timeline, streaming, received, paused, system, started, may_ask = row
    here = is_true(follows)
    return Look(
        instance=f"{system}/{started}",
        follows=here,
        replayed=at(system, timeline, lsn) if here else None,
        received=at(system, timeline, received) if here and timeline is not None else None,
        paused=is_true(paused),
        streaming=is_true(streaming),
        lag=0.0 if received == lsn and is_true(streaming) else None,
        system=int(str(system)),
        lacks=None if is_true(may_ask) else LACKS,
    )


def at(system: object, timeline: object, lsn: object) -> Wal | None:
    return None if lsn is None else Wal.of(int(str(system)), int(str(timeline or 0)), str(lsn))


def is_true(value: object) -> bool:
    return value in (True, "t")
