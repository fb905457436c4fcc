"""text() and other statements whose tables do not show: they must be told their database, or find it by an entity."""

from typing import Any

import pytest
from sqlalchemy import column, literal, select, text
from sqlalchemy.exc import ArgumentError

from manybase import AmbiguousRoute, Session
from tests.sessions import Run, SessionKind, statements
from tests.shop import Entry, User, in_files


def test_cte_without_tables(run: Run) -> None:
    """It belongs to no database, so one must be named."""

    def body(session: Session) -> list[int]:
        start = select(literal(1).label("n")).cte(recursive=True)
        statement = select(start.union_all(select(start.c.n + 1).where(start.c.n < 3)).c.n)
        with pytest.raises(AmbiguousRoute):
            session.execute(statement)
        return list(session.scalars(statement, bind_arguments={"database": "audit"}))

    assert [1, 2, 3] == run(body)


TEXT = text("SELECT what FROM entries")


@pytest.mark.parametrize(
    ("statement", "options"),
    [
        (TEXT, {"bind_arguments": {"database": "audit"}}),
        (TEXT.execution_options(database="audit"), {}),
        (TEXT, {"execution_options": {"database": "audit"}}),
        (TEXT, {"bind_arguments": {"mapper": Entry}}),
        (TEXT.execution_options(database="shop"), {"execution_options": {"database": "audit"}}),
        (TEXT.execution_options(database="shop"), {"bind_arguments": {"database": "audit"}}),
        (TEXT.columns(column("what")), {"bind_arguments": {"database": "audit"}}),
    ],
    ids=["bind_arguments", "statement", "call", "mapper", "call wins", "bind_arguments win", "columns"],
)
def test_text_that_is_told_its_database(run: Run, statement: Any, options: dict[str, Any]) -> None:
    """All of SQLAlchemy's places to say something about a statement are heard."""

    def body(session: Session) -> list[str]:
        session.add(Entry(what="hello"))
        session.flush()
        found = [session.execute(statement, **options).scalar_one(), session.scalar(statement, **options)]
        return [*found, *session.scalars(statement, **options)]

    assert ["hello"] * 3 == run(body)


def test_text_with_a_default(session_kind: SessionKind, tmp_path: Any) -> None:
    """It goes to the default database."""

    def body(session: Session) -> Any:
        session.add(Entry(what="hello"))
        session.flush()
        return session.scalar(TEXT)

    assert "hello" == session_kind.run(in_files(tmp_path, default="audit"), body)


def test_text_that_nobody_says_where(run: Run) -> None:
    """It is refused before anything runs."""

    def body(session: Session) -> None:
        with statements(session.databases) as ran, pytest.raises(AmbiguousRoute, match="bind_arguments"):
            session.execute(TEXT)
        assert [] == ran

    run(body)


def test_from_statement_of_text(run: Run) -> None:
    """Its entity says where it goes."""

    def body(session: Session) -> list[str]:
        session.add(Entry(what="hello"))
        session.flush()
        statement = select(Entry).from_statement(text("SELECT * FROM entries").columns(Entry.id, Entry.what))
        return [entry.what for entry in session.scalars(statement)]

    assert ["hello"] == run(body)


@pytest.mark.parametrize("thing", ["SELECT 1", User.__table__, 5])
def test_something_that_cannot_be_executed(run: Run, thing: Any) -> None:
    """SQLAlchemy's own error passes."""

    def body(session: Session) -> None:
        with pytest.raises(ArgumentError):
            session.execute(thing)

    run(body)
