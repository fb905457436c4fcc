"""Core through a session over three databases: tables, text, unions, CTEs, DDL."""

from typing import Any

import pytest
from sqlalchemy import (
    DDL,
    Column,
    Integer,
    MetaData,
    Select,
    Table,
    delete,
    func,
    insert,
    lambda_stmt,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable, Index

from manybase import AmbiguousRoute, Database, Databases, Session
from tests.sessions import Run, SessionKind, statements, where
from tests.shop import Entry, Event, Order, User, ann

users, orders, events, entries = (each.__table__ for each in (User, Order, Event, Entry))


def test_tables(run: Run) -> None:
    """insert, update, delete and select of Core tables go to their databases, in one transaction."""

    def body(session: Session) -> list[Any]:
        session.execute(insert(events), [{"kind": "view"}, {"kind": "buy"}])
        session.execute(insert(entries).values(what="hello"))
        session.execute(update(events).where(events.c.id == 1).values(kind="seen"))
        session.execute(delete(events).where(events.c.id == 2))
        session.commit()
        return [session.execute(select(events.c.kind)).all(), session.scalar(select(func.count()).select_from(entries))]

    assert [[("seen",)], 1] == run(body)


def test_function_of_a_column(run: Run) -> None:
    """A function as the whole statement goes where its columns are."""

    def body(session: Session) -> Any:
        session.add(ann())
        session.flush()
        return session.scalar(func.max(events.c.id))

    assert 2 == run(body)


def test_insert_returning(run: Run) -> None:
    """Core INSERT .. RETURNING gives rows."""

    def body(session: Session) -> Any:
        return session.execute(insert(events).values(kind="x").returning(events.c.id, events.c.kind)).one()

    assert (1, "x") == run(body)


def test_union_of_orm_columns(run: Run) -> None:
    """It works, where Session(binds=...) of SQLAlchemy finds no engine."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        statement = union_all(select(Event.id), select(Event.user_id))
        return sorted(session.scalars(statement)) + sorted(session.execute(statement).scalars())

    assert [1, 1, 1, 2, 1, 1, 1, 2] == run(body)


def test_union_of_core_tables(run: Run) -> None:
    """As with classes."""

    def body(session: Session) -> Any:
        session.add(ann())
        session.flush()
        return session.scalar(
            select(func.count()).select_from(union(select(users.c.id), select(orders.c.id)).subquery())
        )

    assert 2 == run(body)


def test_entities_from_a_union(run: Run) -> None:
    """select(Class).from_statement(union) gives objects."""

    def body(session: Session) -> list[str]:
        session.add(ann())
        session.flush()
        statement = union(select(Event).where(Event.id == 1), select(Event).where(Event.id == 2))
        return sorted(event.kind for event in session.scalars(select(Event).from_statement(statement)))

    assert ["buy", "view"] == run(body)


def test_cte(run: Run) -> None:
    """A CTE and a recursive one go where their tables are."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.flush()
        dear = select(Order.id).where(Order.total > 15).cte()
        start = select(Event.id.label("n")).where(Event.id == 1).cte(recursive=True)
        counting = start.union_all(select(start.c.n + 1).where(start.c.n < 3))
        return [session.scalars(select(dear.c.id)).all(), session.scalars(select(counting.c.n)).all()]

    assert [[2], [1, 2, 3]] == run(body)


def test_ddl(session_kind: SessionKind, run: Run) -> None:
    """CREATE and DROP of a declared table go to its database; DDL text must be told."""

    def body(session: Session) -> list[str | None]:
        index = Index("events_kind", events.c.kind)
        with statements(session.databases) as ran:
            session.execute(DropTable(entries))
            session.execute(CreateTable(entries))
            session.execute(CreateIndex(index))
            with pytest.raises(AmbiguousRoute):
                session.execute(DDL("CREATE TABLE extra (id INTEGER)"))
            session.execute(DDL("CREATE TABLE extra (id INTEGER)"), bind_arguments={"database": "shop"})
        events.indexes.discard(index)
        return where(ran)

    assert ["audit", "audit", "analytics", "shop"] == run(body)


def test_lambda_statement(run: Run) -> None:
    """lambda_stmt is routed by what it makes."""

    def body(session: Session) -> list[str]:
        session.add(ann())
        kind = "buy"
        statement = lambda_stmt(lambda: select(Event.kind))
        statement += lambda each: each.where(Event.kind == kind)
        return list(session.scalars(statement))

    assert ["buy"] == run(body)


def test_statement_without_a_cache_key(run: Run) -> None:
    """values() of several rows is routed each time."""

    def body(session: Session) -> int:
        session.execute(insert(events).values([{"kind": "a"}, {"kind": "b"}]))
        return session.scalar(select(func.count()).select_from(events)) or 0

    assert 2 == run(body)


def test_upsert(run: Run) -> None:
    """SQLite's INSERT .. ON CONFLICT, of a table and of a class, with and without RETURNING."""

    def body(session: Session) -> list[Any]:
        for kind in ("view", "buy"):
            upsert = sqlite.insert(events).values(id=1, kind=kind)
            session.execute(upsert.on_conflict_do_update(index_elements=["id"], set_={"kind": upsert.excluded.kind}))
        ignored = sqlite.insert(Event).values(id=1, kind="x").on_conflict_do_nothing().returning(Event.id)
        return [session.scalars(select(Event.kind)).all(), session.scalars(ignored).all()]

    assert [["buy"], []] == run(body)


def test_reflected_table(session_kind: SessionKind, tmp_path: Any) -> None:
    """Tables that no model declares are routed by the MetaData or Table that was declared."""
    metadata = MetaData()
    notes = Table("notes", metadata, Column("id", Integer, primary_key=True))
    urls = (f"sqlite:///{tmp_path / name}.db" for name in ("main", "other"))
    main, other = urls
    declared = Databases(Database("main", main, default=True), Database("other", other, models=metadata))

    def body(session: Session) -> list[Any]:
        session.execute(insert(notes).values(id=5))
        statement: Select[Any] = select(notes.c.id)
        return [session.route(statement).database, session.scalar(statement)]

    assert ["other", 5] == session_kind.run(declared, body)
