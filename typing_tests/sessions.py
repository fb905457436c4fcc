"""Session: what SQLAlchemy's own session gives, with the exact types of the rows."""

from collections.abc import Sequence
from typing import Any, assert_type

from rich.tree import Tree
from sqlalchemy import CursorResult, Engine, Result, Row, ScalarResult, delete, func, insert, select, text, update
from sqlalchemy.orm import Query, scoped_session, sessionmaker
from sqlalchemy.orm import Session as SQLAlchemySession

from manybase import Databases, Explanation, Federation, Route, Session
from typing_tests.declarations import databases
from typing_tests.models import Event, User

with Session(databases) as session:
    assert_type(session, Session)
    assert_type(session.databases, Databases)
    assert_type(session.scalars(select(User)), ScalarResult[User])
    assert_type(session.scalars(select(User)).all(), Sequence[User])
    name: str | None = session.scalar(select(User.name))  # Any | None to mypy, as from SQLAlchemy itself
    assert_type(session.execute(select(User.id, Event)), Result[int, Event])
    assert_type(session.execute(select(User.id, User.nickname)).one(), Row[int, str | None])
    assert_type(session.execute(select(User, func.count())).all(), Sequence[Row[User, int]])
    assert_type(session.get(User, 1), User | None)
    assert_type(session.get_one(User, 1), User)
    assert_type(session.merge(User(name="ann")), User)
    assert_type(session.query(User), Query[User])
    assert_type(session.query(User).all(), list[User])
    assert_type(session.scalars(insert(User).returning(User.id)).one(), int)
    session.execute(text("SELECT 1"), {"id": 1}, bind_arguments={"database": "audit"})
    session.execute(text("SELECT 1"), execution_options={"database": "audit"})
    session.execute(update(User).values(name="ann"))
    session.execute(delete(Event).where(Event.user_id.in_([1])))
    assert_type(session.connection(bind_arguments={"database": "audit"}).engine, Engine)
    with session.begin_nested():
        session.add_all([User(name="ann"), Event(user_id=1)])
    session.commit()

    assert_type(session.route(select(User)), Route)
    assert_type(session.route(User), Route)
    assert_type(session.route(text("SELECT 1"), database="audit"), Route)
    assert_type(session.route(User).database, str)
    assert_type(session.route(User).reason, str)

    joined = select(User, Event).join(Event, Event.user_id == User.id)
    assert_type(session.explain(joined), Explanation)
    assert_type(session.explain(joined, analyze=True).to_dict(), dict[str, Any])
    assert_type(session.explain(session.query(User)).fragments[0].rows, int | None)
    assert_type(session.explain(joined).tree, Tree)
    session.explain(joined, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    session.execute(joined.execution_options(federation=Federation(max_rows=10)))

Session(databases, database="analytics", autoflush=False, expire_on_commit=False, info={"request": 1})
Session("sqlite://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Session()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Session(databases, "analytics")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def takes_any_session(session: SQLAlchemySession) -> Sequence[User]:
    return session.scalars(select(User)).all()


takes_any_session(Session(databases))

make = sessionmaker(class_=Session, databases=databases, autoflush=False)
assert_type(make, sessionmaker[Session])
assert_type(make(), Session)
with make() as made, make.begin() as begun:
    assert_type(made, Session)
    assert_type(begun, Session)
    assert_type(made.route(User), Route)

registry = scoped_session(make)
assert_type(registry(), Session)
assert_type(registry.scalars(select(User)).first(), User | None)


def rowcount(session: Session) -> int:
    result: Result[Any] = session.execute(update(User).values(name="ann"))
    assert isinstance(result, CursorResult)
    return result.rowcount
