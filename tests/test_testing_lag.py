"""lag(): replicas that are behind, without a server."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from manybase import ConfigurationError, Database, Databases, Position, Session
from manybase.testing import lag, rollback
from tests.sessions import SessionKind
from tests.shop import MODELS, Entry, in_files


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    databases = in_files(tmp_path)
    databases.create_all()
    yield databases
    databases.dispose()


def write(session: Session, what: str) -> Position:
    session.add(Entry(what=what))
    session.commit()
    return session.position


def read(session: Session, after: Position | None = None) -> list[str]:
    with Session(session.databases, role="replica", after=after, asyncio=session._asyncio) as reading:
        return [*reading.scalars(select(Entry.what).order_by(Entry.id))]


@pytest.mark.parametrize("inside", [nullcontext, rollback])
def test_read_that_is_too_early(databases: Databases, session_kind: SessionKind, inside: Any) -> None:
    """Without a position it shows what was there before; after one it is right, and comes from the primary."""

    def body(session: Session) -> dict[str, list[str]]:
        with lag(databases, "audit") as lagging:
            position = Position.parse(str(write(session, "written")))
            found = {"without": read(session), "with": read(session, position)}
            assert {"replica": 1, "not replayed": 1} == lagging.served
        return {**found, "afterwards": read(session)}

    with Session(databases) as earlier:
        write(earlier, "before")
    with inside(databases) if inside is rollback and not session_kind.asyncio else nullcontext():
        found = session_kind.run(databases, body)

    assert {"without": ["before"], "with": ["before", "written"], "afterwards": ["before", "written"]} == found


def test_replica_that_catches_up(databases: Databases, session_kind: SessionKind) -> None:
    """After that many seconds it has what was written, and the next commit is late again."""

    def body(session: Session) -> tuple[list[str], list[str], dict[str, int]]:
        with lag(databases, "audit", seconds=0.0) as lagging:
            position = write(session, "first")
            found = read(session, position)
            lagging.seconds = 3600
            write(session, "second")
            return found, read(session), lagging.served

    assert (["first"], ["first"], {"replica": 2}) == session_kind.run(databases, body)


def test_rollback_alone(databases: Databases) -> None:
    """Replica sessions see what the test has not committed for good."""
    with rollback(databases), Session(databases) as session:
        write(session, "inside")

        assert ["inside"] == read(session)
        assert not session.position


def test_what_has_no_older_state() -> None:
    """In memory, and elsewhere outside of rollback(), it is refused, and the error says what to do."""
    memory = Databases(Database("audit", "sqlite://", models=MODELS["audit"]))

    with pytest.raises(ConfigurationError, match=r"rollback\(\)"), lag(memory, "audit"):
        pass
    with rollback(memory), pytest.raises(ConfigurationError, match="in memory"), lag(memory, "audit"):
        pass
