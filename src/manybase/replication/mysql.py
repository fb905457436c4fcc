"""MariaDB and MySQL: the GTID of what was committed, and those that a replica has replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manybase.position import Gtids, GtidSet, Point
from manybase.replicas import Look

Row = Sequence[Any]


def current_of(*, mariadb: bool) -> str:
    """The question after a COMMIT, on the same connection."""
    return "SELECT @@last_gtid" if mariadb else "SELECT @@global.gtid_executed"


def log_of(*, mariadb: bool) -> str:
    """The question on any connection to the primary: all that is committed there."""
    return "SELECT @@global.gtid_binlog_pos" if mariadb else "SELECT @@global.gtid_executed"


def replayed_of(*, mariadb: bool) -> str:
    return "SELECT @@global.gtid_slave_pos" if mariadb else "SELECT @@global.gtid_executed"


def waiting_for(point: Point, seconds: float) -> str | None:
    """The question that the server answers once it is replayed, or with something else than 0 when time is up."""
    if isinstance(point, Gtids):
        return f"SELECT MASTER_GTID_WAIT('{point.text}', {seconds:.4f})"
    if isinstance(point, GtidSet):
        return f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{point.text}', {max(seconds, 0.001):.3f})"
    return None


def parse(text: object, *, mariadb: bool) -> Point | None:
    if not text:
        return None
    return Gtids.parse(str(text)) if mariadb else GtidSet.parse(str(text))


SERVER = "SELECT @@hostname, @@port, @@server_id, @@global.read_only"
STATUS = {True: "SHOW SLAVE STATUS", False: "SHOW REPLICA STATUS"}  # of MariaDB, of MySQL
LACKS = {True: "SLAVE MONITOR", False: "REPLICATION CLIENT"}


def look(server: Row, status: Mapping[str, Any] | None, replayed: Point | None, *, denied: bool, mariadb: bool) -> Look:
    """``status``: the row of SHOW SLAVE STATUS; None where there is none, or it was ``denied``."""
    instance = ":".join(map(str, server[:3]))
    if denied:  # whoever may not ask sees only that it is read only, and has replayed something
        follows = bool(server[3]) and replayed is not None
        return Look(instance, follows, replayed, lacks=LACKS[mariadb])
    if status is None:
        return Look(instance, follows=False)
    running = status.get("Slave_SQL_Running", status.get("Replica_SQL_Running"))
    receiving = status.get("Slave_IO_Running", status.get("Replica_IO_Running"))
    primary = status.get("Master_Server_Id", status.get("Source_Server_Id"))
    behind = status.get("Seconds_Behind_Master", status.get("Seconds_Behind_Source"))
    return Look(
        instance,
        follows=True,
        replayed=replayed,
        paused=running == "No",
        streaming=receiving == "Yes",
        lag=None if behind is None else float(behind),
        system=int(primary) if primary else None,
    )
