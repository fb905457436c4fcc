"""Whether SQLite can commit several files at once."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from manybase import AtomicityError, Databases, Session
from tests import ledgers
from tests.sessions import SessionKind


def three(folder: Path, pragma: str, *names: str) -> Databases:
    """Three files that are synced as SQLite does by default, with a PRAGMA for some of them."""
    declared = ledgers.ledgers({name: f"sqlite:///{folder}/{name}.db" for name in ledgers.NAMES})
    for name in ledgers.NAMES:
        declared[name].engine_options["pool_events"][:] = [(ledgers.enforce_foreign_keys, "connect")]
        with declared.engine(name).connect() as connection:
            connection.exec_driver_sql(pragma if name in names else "SELECT 1")
    declared.dispose()
    return declared


def check(session: Session, *written: str) -> None:
    assert session._files is not None
    session._files.check_journals(written)


@pytest.mark.parametrize("which", [["first"], ["second"], ["first", "second", "third"]])
def test_write_ahead_log(session_kind: SessionKind, tmp_path: Path, which: list[str]) -> None:
    """Two that were written are refused if one has it; the error says which, and how to go on. Nothing is switched."""

    def body(session: Session) -> Any:
        ledgers.write(session, *ledgers.NAMES)
        with pytest.raises(AtomicityError, match="'first' and 'second' were written together") as caught:
            check(session, "first", "second")
        assert "journal_mode=wal" in str(caught.value)
        assert "PRAGMA journal_mode=DELETE" in str(caught.value)
        assert "atomic=False" in str(caught.value)
        for name in ledgers.NAMES:
            check(session, name)
        session.rollback()
        mode = text("PRAGMA journal_mode")
        assert ["wal"] * len(which) == [session.scalar(mode, bind_arguments={"database": name}) for name in which]
        return caught.value.databases

    expected = tuple(name for name in which if name != "third")
    assert expected == session_kind.run(three(tmp_path, "PRAGMA journal_mode=WAL", *which), body)


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_rollback_journals(session_kind: SessionKind, tmp_path: Path, mode: str) -> None:
    """In the first file, too, whose connection may say so: all of them do."""

    def body(session: Session) -> dict[str, int]:
        session.connection(bind_arguments={"database": "first"}).exec_driver_sql(f"PRAGMA journal_mode={mode}")
        ledgers.write(session, *ledgers.NAMES)
        check(session, *ledgers.NAMES)
        session.commit()
        return ledgers.rows(session)

    assert dict.fromkeys(ledgers.NAMES, 1) == session_kind.run(three(tmp_path, "SELECT 1"), body)


@pytest.mark.parametrize(
    ("pragma", "says"),
    [
        ("journal_mode=MEMORY", "'first' has journal_mode=memory;"),
        ("journal_mode=OFF", "'first' has journal_mode=off;"),
        ("synchronous=OFF", "'first' has synchronous=OFF."),
    ],
)
def test_what_a_connection_may_say(session_kind: SessionKind, tmp_path: Path, pragma: str, says: str) -> None:
    """A journal in memory, none, or one that is not synced makes no commit atomic."""

    def body(session: Session) -> str:
        session.connection(bind_arguments={"database": "first"}).exec_driver_sql(f"PRAGMA {pragma}")
        ledgers.write(session, "first", "second")
        with pytest.raises(AtomicityError) as caught:
            check(session, "first", "second")
        session.rollback()
        return str(caught.value)

    assert says[:-1] in session_kind.run(three(tmp_path, "SELECT 1"), body)
