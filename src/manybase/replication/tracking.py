"""Tracking: the GTID of a commit in MariaDB's answer to COMMIT, so that nobody has to ask for it afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, event

from manybase.position import Gtids
from manybase.wire import run

DRIVERS = ("pymysql", "aiomysql", "asyncmy")
TRACKS = "manybase.tracks"
CLIENT_SESSION_TRACK = 1 << 23  # of the protocol: answers may say which variables of the session have changed
SYSTEM_VARIABLE = 0


def track(engine: Engine, *, theirs: bool) -> None:
    """Let MariaDB tell each connection of a primary's engine the GTID of what it commits. Not if it is not ours."""
    if not theirs and engine.dialect.driver in DRIVERS:
        event.listen(engine, "do_connect", ask_to_be_told)
        event.listen(engine, "connect", begin_to_track)


def ask_to_be_told(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
    options["client_flag"] = options.get("client_flag", 0) | CLIENT_SESSION_TRACK


def begin_to_track(dbapi_connection: Any, record: Any) -> None:
    cursor = dbapi_connection.cursor()
    with suppress(Exception):  # MySQL, or a MariaDB before 10.3, has nothing to tell; it is asked then
        cursor.execute("SET SESSION session_track_system_variables = 'last_gtid'")
        record.info[TRACKS] = True
    cursor.close()


def commit(connection: Connection) -> Gtids | None:
    """COMMIT, and the GTID that the answer tells; None where it tells none. The errors are those of COMMIT."""
    run(connection, "COMMIT")
    driver: Any = connection.connection.driver_connection
    with suppress(Exception):  # it is committed: nothing may fail any more
        # Private: Connection._result (PyMySQL 1.2, aiomysql 0.3, asyncmy 0.2) keeps the last answer, and its message
        # whatever followed the counts; no cursor shows it. test_commit_positions.py fails when it changes.
        gtid = gtid_in(driver._result.message)
        return None if gtid is None else Gtids.parse(gtid)
    return None


def gtid_in(message: bytes | None) -> str | None:
    """https://mariadb.com/kb/en/ok_packet/: a text for people, and if something has changed, what."""
    if not message:
        return None
    _, rest = string(message)
    changes, _ = string(rest)
    while changes:
        kind, (change, changes) = changes[0], string(changes[1:])
        if kind == SYSTEM_VARIABLE:
            name, rest = string(change)
            if name == b"last_gtid":
                return string(rest)[0].decode() or None
    return None


def string(data: bytes) -> tuple[bytes, bytes]:
    """A string that says how long it is, and what follows it."""
    size, start = data[0], 1
    if size > 250:
        start = {252: 3, 253: 4, 254: 9}[size]
        size = int.from_bytes(data[1:start], "little")
    return data[start : start + size], data[start + size :]
