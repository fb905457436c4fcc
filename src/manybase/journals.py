"""Journals: whether SQLite can commit several files at once, which depends on how each of them keeps its journal."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from manybase.errors import AtomicityError
from manybase.sharing import quoted, send

CANNOT = {"wal", "memory", "off"}  # https://www.sqlite.org/atomiccommit.html#_multi_file_commit


def check_journals(connection: Connection, written: Mapping[str, str]) -> None:
    """Raise ``AtomicityError`` where the files that were written cannot be committed at once; nothing is changed.

    ``written`` says under which schema of the connection each database is. One file alone is always atomic.
    """
    if len(written) < 2:
        return
    found = {name: obstacles(connection, schema) for name, schema in written.items()}
    if not any(found.values()):
        return
    what = "; ".join(f"{name!r} has {' and '.join(each)}" for name, each in found.items() if each)
    names = " and ".join(map(repr, written))
    raise AtomicityError(
        f"Databases {names} were written together, and SQLite cannot commit them at once as they are: {what}. Set "
        "PRAGMA journal_mode=DELETE and PRAGMA synchronous=NORMAL (or FULL) on each of them, or accept that a crash "
        "may tear such a commit: Session(databases, atomic=False).",
        [name for name, each in found.items() if each],
    )


def obstacles(connection: Connection, schema: str) -> list[str]:
    mode = pragma(connection, schema, "journal_mode").lower()
    unsynced = pragma(connection, schema, "synchronous") == "0"
    return [*([f"journal_mode={mode}"] if mode in CANNOT else []), *(["synchronous=OFF"] if unsynced else [])]


def pragma(connection: Connection, schema: str, name: str) -> str:
    ((value,),) = send(connection, f"PRAGMA {quoted(schema)}.{name}")
    return str(value)
