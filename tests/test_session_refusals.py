"""What no statement over two databases can do: refused, with what to do instead, before any SQL has run."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, exists, func, insert, literal_column, select, text, update
from sqlalchemy.exc import OperationalError

from manybase import AmbiguousRoute, CrossDatabaseError, Databases, ManybaseError, Session, UnsupportedStatement
from tests.sessions import Run, SessionKind, statements, where
from tests.shop import Event, Order, User

WRITING_CTES: dict[str, Callable[[], Any]] = {
    "insert": lambda: select(User.id, insert(Event).values(kind="x").returning(Event.id).cte().c.id),
    "update": lambda: select(User.id, update(Event).values(kind="x").returning(Event.id).cte().c.id),
    "delete, and a table of another": lambda: select(Event.id, delete(Order).returning(Order.id).cte().c.id),
    "below a subquery": lambda: select(
        select(insert(Event).values(kind="x").returning(Event.user_id).cte()).subquery(), User.id
    ),
}

UNANSWERABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "for update": (lambda: select(User).join(User.events).with_for_update(), "FOR UPDATE"),
    "for update of one of them": (lambda: select(User).join(User.events).with_for_update(of=User), "FOR UPDATE"),
    "for update in a subquery": (
        lambda: select(User).join(one := select(Event.user_id).with_for_update().subquery(), one.c.user_id == User.id),
        "FOR UPDATE",
    ),
    "text() as a condition": (
        lambda: select(User, Event).where(text("users.id = events.user_id")),
        "text()",
    ),
    "text() beside conditions": (
        lambda: select(User).join(User.events).where(text("users.id > 0")),
        "text()",
    ),
    "text() to order by": (lambda: select(User.id, Event.id).order_by(text("users.id")), "text()"),
    "literal_column()": (lambda: select(User.id, Event.id, literal_column("users.id + 1")), "literal_column()"),
    "a prefix": (lambda: select(User.id, Event.id).prefix_with("STRAIGHT_JOIN"), "text()"),
}

WRITES: dict[str, Callable[[], Any]] = {
    "update in": lambda: update(User).where(User.id.in_(select(Event.user_id))).values(name="x"),
    "update from": lambda: update(User).where(User.id == Event.user_id).values(name=Event.kind),
    "update to a subquery": lambda: update(User).values(name=select(func.max(Event.kind)).scalar_subquery()),
    "delete using": lambda: delete(Order).where(Order.user_id == Event.user_id),
    "delete exists": lambda: delete(Order).where(exists().where(Order.user_id == Event.user_id)),
    "insert from select": lambda: insert(Order).from_select(["user_id"], select(Event.user_id)),
    "insert of a subquery": lambda: insert(User).values(name=select(func.max(Event.kind)).scalar_subquery()),
    "update by a cte": lambda: (
        update(User).where(User.id.in_(select(select(Event.user_id).cte().c.user_id))).values(name="x")
    ),
}


def refused(session: Session, run_it: Callable[[], Any], kind: type[ManybaseError] = CrossDatabaseError) -> Any:
    """The error; nothing was sent to any server, and no connection was taken for it."""
    with statements(session.databases) as ran, pytest.raises(kind) as caught:
        run_it()
    assert [] == ran
    assert {} == session._enlisted.connections
    return caught.value


@pytest.mark.parametrize("shape", WRITES)
def test_write(run: Run, shape: str) -> None:
    """No SQL runs, whatever the way to synchronise the session."""

    def body(session: Session) -> CrossDatabaseError:
        return refused(session, lambda: session.execute(WRITES[shape]()))

    error = run(body)
    assert ("analytics", "shop") == error.databases
    assert "fetch the keys first" in str(error)


def test_write_that_would_first_look_for_its_rows(run: Run) -> None:
    """SQLAlchemy's SELECT of the rows to change, which one database could answer, does not run either."""

    def body(session: Session) -> None:
        statement = (
            update(User)
            .where(User.id.in_(select(Order.user_id)))
            .values(name=select(func.max(Event.kind)).scalar_subquery())
        )
        refused(session, lambda: session.execute(statement, execution_options={"synchronize_session": "fetch"}))

    run(body)


@pytest.mark.parametrize("shape", WRITING_CTES)
def test_select_that_writes(run: Run, shape: str) -> None:
    """A CTE that writes makes it a write: the advice is about writing."""

    def body(session: Session) -> CrossDatabaseError:
        refused(session, lambda: session.route(WRITING_CTES[shape]()))
        error: CrossDatabaseError = refused(session, lambda: session.execute(WRITING_CTES[shape]()))
        return error

    error = run(body)
    assert ("analytics", "shop") == error.databases
    assert "fetch the keys first" in str(error)


@pytest.mark.parametrize("shape", UNANSWERABLE)
def test_select_with_a_part_that_nobody_can_answer(run: Run, shape: str) -> None:
    """The error names the part, why not, and the way round."""
    make, part = UNANSWERABLE[shape]

    def body(session: Session) -> UnsupportedStatement:
        error: UnsupportedStatement = refused(session, lambda: session.execute(make()), UnsupportedStatement)
        return error

    error = run(body)
    assert part == error.part
    assert f"{part} cannot be answered over several databases: {error.why}. {error.advice}" == str(error)


def test_text_of_several_databases(run: Run) -> None:
    """Nobody reads it: it goes where it is sent, also as the text of a select of entities."""

    def body(session: Session) -> list[Any]:
        both = text("SELECT * FROM users, events")
        with statements(session.databases) as ran:
            with pytest.raises(AmbiguousRoute):
                session.execute(both)
            for statement in (both, select(User).from_statement(both)):
                with pytest.raises(OperationalError, match="no such table: events"):
                    session.execute(statement, bind_arguments={"database": "shop"})
        return where(ran)

    assert ["shop", "shop"] == run(body)


@pytest.mark.parametrize("call", ["scalar", "scalars", "execute", "query"])
def test_every_way_to_run_a_statement(run: Run, call: str) -> None:
    """None of them is a way around."""

    def body(session: Session) -> None:
        statement = select(User.id).join(User.events).with_for_update()
        calls = {
            "scalar": lambda: session.scalar(statement),
            "scalars": lambda: session.scalars(statement),
            "execute": lambda: session.execute(statement),
            "query": lambda: session.query(User).join(User.events).with_for_update().all(),
        }
        refused(session, calls[call], UnsupportedStatement)

    run(body)


def test_refused_statement_after_changes(run: Run) -> None:
    """The error leaves the transaction and the session's objects as they were."""

    def body(session: Session) -> list[str]:
        session.add(User(name="ann"))
        session.flush()
        session.add(User(name="bob"))
        with pytest.raises(UnsupportedStatement):
            session.execute(select(User).join(User.events).with_for_update())
        session.commit()
        return list(session.scalars(select(User.name).order_by(User.name)))

    assert ["ann", "bob"] == run(body)


def test_naming_one_of_the_databases(run: Run) -> None:
    """It does not make a statement over two databases run in one, and says what to leave out."""

    def body(session: Session) -> list[CrossDatabaseError]:
        statement = select(User.id).join(User.events)
        named: dict[str, Any] = {"bind_arguments": {"database": "shop"}}
        options: dict[str, Any] = {"execution_options": {"database": "shop"}}
        return [
            refused(session, lambda: session.execute(statement, **named)),
            refused(session, lambda: session.execute(statement, **options)),
            refused(session, lambda: session.execute(statement.execution_options(database="shop"))),
            refused(session, lambda: session.route(statement, database="shop")),
        ]

    errors = run(body)
    assert [("analytics", "shop")] * 4 == [error.databases for error in errors]
    assert ["It is to run on 'shop' alone. Leave that choice out"] * 4 == [
        str(error).partition("(analytics: events; shop: users). ")[2][:51] for error in errors
    ]


def test_pinned_session(session_kind: SessionKind, databases: Databases) -> None:
    """It belongs to one database: whatever needs another one is refused."""

    def body(session: Session) -> CrossDatabaseError:
        error: CrossDatabaseError = refused(session, lambda: session.execute(select(User.id).join(User.events)))
        return error

    error = session_kind.run(databases, body, database="shop")
    assert {"analytics": ("events",), "shop": ("users",)} == error.tables
    assert "a session that is not pinned joins them" in str(error)
