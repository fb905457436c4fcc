"""The limits of a select over several databases: what goes over one stops, says which part it was, leaves no trace."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select

from manybase import Databases, Federation, FederationError, FederationLimit, Session
from manybase.federation import staging
from tests.sessions import Run, SessionKind, assert_idle
from tests.shop import Event, User, in_files

JOINED = select(User.name, Event.kind).join(Event, Event.user_id == User.id).order_by(Event.id)
WIDE = select(User.name, Event.kind).join(Event, Event.user_id == User.id).where(User.name == "ann")
EVENTS = 30_000  # three chunks


def saved(session: Session) -> None:
    session.add(User(id=1, name="ann"))
    session.flush()
    events = [{"id": number, "user_id": 1, "kind": f"kind {number:>10}"} for number in range(EVENTS)]
    session.execute(Event.__table__.insert(), events, bind_arguments={"database": "analytics"})
    session.commit()


def over(session: Session, statement: Any = JOINED, **options: Any) -> FederationLimit:
    """The error of a select; its session goes on after a rollback, and nothing stays checked out."""
    with pytest.raises(FederationLimit) as caught:
        session.execute(statement, **options).all()
    session.rollback()
    assert_idle(session.databases, asyncio=session._asyncio)
    return caught.value


def limited(**limits: Any) -> dict[str, Any]:
    return {"execution_options": {"federation": Federation(**limits)}}


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "max_rows": ({"max_rows": 1_000}, "1,000"),
    "max_bytes": ({"max_bytes": 100_000}, "100,000"),
    "timeout": ({"timeout": 0.0}, "0"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_limit_of_a_statement(run: Run, limit: str) -> None:
    """The error names the limit, its value, the fragment with its database, and what to do."""
    limits, shown = LIMITS[limit]

    def body(session: Session) -> FederationLimit:
        saved(session)
        error = over(session, **limited(**limits))
        assert EVENTS == len(session.execute(JOINED).all())
        return error

    error = run(body)
    assert [limit, limits[limit]] == [error.limit, error.allowed]
    assert error.fragment is not None
    if limit != "timeout":  # which the first one has missed already
        assert error.fragment.endswith("of database 'analytics'")
    assert f"Fragment {error.fragment} went over {limit}={shown}. Select less" in str(error)
    assert f"raise {limit} in Federation(...)" in str(error)


@pytest.mark.parametrize("limit", LIMITS)
def test_limit_of_all_statements(session_kind: SessionKind, tmp_path: Any, limit: str) -> None:
    """``Databases(federation=...)`` holds for each; a statement, or the call, may say otherwise."""
    databases = in_files(tmp_path, federation=Federation(**LIMITS[limit][0]))

    def body(session: Session) -> list[Any]:
        saved(session)
        error = over(session)
        own = session.execute(JOINED.execution_options(federation=Federation())).all()
        return [error.limit, len(own), len(session.execute(JOINED, **limited()).all())]

    assert [limit, EVENTS, EVENTS] == session_kind.run(databases, body)


def test_exactly_as_many_rows_as_allowed(run: Run) -> None:
    """A limit is what may be reached: rows of all fragments together, not of the result."""

    def body(session: Session) -> list[Any]:
        saved(session)
        found = session.execute(JOINED, **limited(max_rows=EVENTS + 1)).all()
        return [len(found), over(session, **limited(max_rows=EVENTS)).limit]

    assert [EVENTS, "max_rows"] == run(body)


def test_condition_that_its_database_applies(run: Run) -> None:
    """What the error advises: then fewer rows come."""

    def body(session: Session) -> int:
        saved(session)
        return len(session.execute(JOINED.where(Event.id < 10), **limited(max_rows=11)).all())

    assert 10 == run(body)


def test_few_keys_that_bring_many_rows(run: Run) -> None:
    """A driver that would have all of them at once, as that of async SQLite, is asked for the first ones before."""

    def body(session: Session) -> list[Any]:
        saved(session)
        many = session.explain(WIDE, analyze=True).fragments[-1]
        few = session.explain(WIDE.where(Event.id < 10), analyze=True).fragments[-1]
        all_at_once = session._asyncio
        return [len(session.execute(WIDE).all()), many.rows, few.rows, (many.statements, few.statements), all_at_once]

    *found, statements, all_at_once = run(body)
    assert [EVENTS, EVENTS, 10] == found
    assert ((2, 1) if all_at_once else (1, 1)) == statements


@pytest.mark.parametrize("executor", ["python", "duckdb"])
def test_each_executor(run: Run, executor: str) -> None:
    """Both keep to the limits."""

    def body(session: Session) -> str:
        saved(session)
        options = {"federation": Federation(max_rows=1_000), "federation_executor": executor}
        return over(session, execution_options=options).limit

    assert "max_rows" == run(body)


@pytest.mark.parametrize("limit", ["max_rows", "max_bytes"])
def test_while_it_streams(run: Run, limit: str) -> None:
    """With yield_per the first rows may have come; the error comes with the next ones."""

    def body(session: Session) -> list[Any]:
        saved(session)
        options = {"federation": Federation(**LIMITS[limit][0]), "yield_per": 100}
        return [over(session, WIDE, execution_options=options).limit, len(session.execute(JOINED).all())]

    assert [limit, EVENTS] == run(body)


def test_no_further_rows_are_fetched(run: Run) -> None:
    """A fragment that went over is not read to its end, so that it takes no more memory than it may."""

    def body(session: Session) -> int:
        saved(session)
        seen: list[int] = []
        read = staging.chunks

        def chunks(*arguments: Any) -> Iterator[Any]:
            for rows in read(*arguments):
                seen.append(len(rows))
                yield rows

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(staging, "chunks", chunks)
            over(session, **limited(max_rows=1_000))
        return sum(seen)

    assert run(body) < EVENTS


def test_uncommitted_changes(run: Run) -> None:
    """The error ends no transaction: that is the session's to decide."""

    def body(session: Session) -> list[Any]:
        saved(session)
        session.add(User(id=2, name="bob"))
        with pytest.raises(FederationError):
            session.execute(JOINED, **limited(max_rows=1_000)).all()
        session.commit()
        return list(session.scalars(select(User.name).order_by(User.id)))

    assert ["ann", "bob"] == run(body)


def test_limits_of_other_statements(run: Run) -> None:
    """A select of one database is not bounded."""

    def body(session: Session) -> int:
        saved(session)
        return len(session.execute(select(Event.id), **limited(max_rows=1)).all())

    assert EVENTS == run(body)


def test_time_that_a_database_takes(run: Run) -> None:
    """The timeout counts from the start of the statement, over all fragments."""

    def body(session: Session) -> str | None:
        saved(session)

        def dawdle(_connection: Connection, _cursor: object, sql: str, *_: object) -> None:
            if "events" in sql:
                time.sleep(2)

        event.listen(Engine, "before_cursor_execute", dawdle)
        try:
            return over(session, JOINED.where(Event.id < 10), **limited(timeout=1.5)).fragment
        finally:
            event.remove(Engine, "before_cursor_execute", dawdle)

    assert (run(body) or "").endswith("of database 'analytics'")


@pytest.mark.parametrize("wrong", [{"max_row": 1}, {"timeout": 1, "seconds": 2}])
def test_limit_that_does_not_exist(wrong: dict[str, Any]) -> None:
    """A misspelt one is an error, not no limit."""
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Federation(**wrong)


def test_declaration(databases: Databases) -> None:
    """Without one, the defaults hold; the declaration cannot be changed afterwards."""
    assert Federation() == databases.federation
    with pytest.raises(AttributeError):
        databases.federation.max_rows = 1  # type: ignore[misc]
