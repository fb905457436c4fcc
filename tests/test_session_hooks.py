"""The user's own events on our sessions."""

from typing import Any

from sqlalchemy import event, select, text, union
from sqlalchemy.orm import ORMExecuteState, UserDefinedOption, selectinload, with_loader_criteria

from manybase import Session
from tests.sessions import Run, committed, statements, where
from tests.shop import Entry, Event, Order, User, ann


class Mine(UserDefinedOption):
    pass


def test_before_commit_that_writes_to_another_database(run: Run) -> None:
    """The audit row that the hook adds is committed with the rest."""

    def body(session: Session) -> list[int]:
        @event.listens_for(session, "before_commit")
        def audit(session: Session) -> None:
            session.add_all([Entry(what=f"{type(each).__name__}") for each in session.new])

        session.add_all([User(name="ann"), Event(kind="view")])
        session.commit()
        return [committed(session, "audit", "entries"), committed(session, "shop", "users")]

    assert [2, 1] == run(body)


def test_order_of_the_hooks(run: Run) -> None:
    """One before_commit and one after_commit per commit, however many databases; after_begin once for each."""

    def body(session: Session) -> list[str]:
        calls: list[str] = []
        event.listen(session, "before_commit", lambda session: calls.append("before_commit"))
        event.listen(session, "after_commit", lambda session: calls.append("after_commit"))
        event.listen(session, "after_begin", lambda session, transaction, connection: calls.append("after_begin"))
        session.add_all([User(name="ann"), Event(kind="view")])
        session.commit()
        return calls

    assert ["before_commit", "after_begin", "after_begin", "after_commit"] == run(body)


def test_after_commit_that_reads(run: Run) -> None:
    """As in SQLAlchemy no SQL can run there, in another transaction it can."""

    def body(session: Session) -> list[int]:
        found: list[int] = []

        @event.listens_for(session, "after_commit")
        def look(session: Session) -> None:
            found.extend([committed(session, "shop", "users"), committed(session, "analytics", "events")])

        session.add_all([User(name="ann"), Event(kind="view")])
        session.commit()
        return found

    assert [1, 1] == run(body)


def test_do_orm_execute_that_changes_the_statement(run: Run) -> None:
    """What the hook made of it is what is routed: criteria of another database make it a select over both."""

    def body(session: Session) -> list[list[int]]:
        session.add_all([ann(), User(name="bob", orders=[Order(total=30)])])
        session.commit()
        criteria: list[Any] = [with_loader_criteria(Order, Order.total > 15)]

        @event.listens_for(session, "do_orm_execute")
        def filtered(state: ORMExecuteState) -> None:
            if state.is_select and not state.is_column_load:
                state.statement = state.statement.options(*criteria)

        found = sorted(session.scalars(select(Order.total)))
        criteria.append(with_loader_criteria(Order, Order.user_id.in_(select(Event.user_id))))
        return [found, list(session.scalars(select(Order.total)))]

    assert [[20, 30], [20]] == run(body)


def test_do_orm_execute_that_only_looks(run: Run) -> None:
    """It sees the bind arguments with the mapper and our statement, and routing stays as it was."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        session.expunge_all()
        seen: list[bool] = []
        event.listen(session, "do_orm_execute", lambda state: seen.append(state.is_relationship_load))
        with statements(session.databases) as ran:
            session.scalars(select(User).options(selectinload(User.events), Mine())).one()
            session.execute(union(select(Event.id), select(Event.user_id))).all()
            session.execute(text("SELECT 1"), bind_arguments={"database": "audit"})
        return [seen, where(ran)]

    assert [[False, True, False, False], ["shop", "analytics", "analytics", "audit"]] == run(body)


def test_do_orm_execute_that_names_the_database(run: Run) -> None:
    """A hook may write into the bind arguments, SQLAlchemy's way to steer a statement."""

    def body(session: Session) -> list[str | None]:
        @event.listens_for(session, "do_orm_execute")
        def steer(state: ORMExecuteState) -> None:
            state.bind_arguments["database"] = "audit"

        with statements(session.databases) as ran:
            session.execute(text("SELECT 1"))
        return where(ran)

    assert ["audit"] == run(body)


def test_do_orm_execute_that_invokes_the_statement(run: Run) -> None:
    """invoke_statement() runs it where it would have run."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()

        @event.listens_for(session, "do_orm_execute")
        def invoke(state: ORMExecuteState) -> Any:
            return state.invoke_statement()

        return [*session.scalars(select(Event.kind).order_by(Event.id)), *session.scalars(select(User.name))]

    assert ["view", "buy", "ann"] == run(body)


def test_hook_on_our_class(run: Run) -> None:
    """A listener on manybase.Session hears our sessions."""
    heard: list[Any] = []

    def note(session: Session) -> None:
        heard.append(type(session))

    def body(session: Session) -> None:
        session.add(User(name="ann"))
        session.commit()

    event.listen(Session, "after_commit", note)
    try:
        run(body)
    finally:
        event.remove(Session, "after_commit", note)
    assert [Session] == heard


def test_flush_hooks(run: Run) -> None:
    """before_flush and after_flush may use other databases."""

    def body(session: Session) -> list[Any]:
        @event.listens_for(session, "before_flush")
        def add(session: Session, context: Any, instances: Any) -> None:
            if session.new and not any(isinstance(each, Entry) for each in session.new):
                session.add(Entry(what="flushed"))

        @event.listens_for(session, "after_flush")
        def count(session: Session, context: Any) -> None:
            session.connection(bind_arguments={"database": "analytics"}).execute(text("SELECT 1"))

        session.add(User(name="ann"))
        session.commit()
        return list(session.scalars(select(Entry.what)))

    assert ["flushed"] == run(body)
