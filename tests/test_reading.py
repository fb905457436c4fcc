"""Which statements are proven to only read: whoever runs nothing else takes no part in an atomic commit."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Integer as Int
from sqlalchemy import (
    Select,
    case,
    cast,
    column,
    exists,
    func,
    insert,
    lateral,
    literal,
    literal_column,
    select,
    table,
    text,
    union,
    update,
    values,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased, joinedload, selectinload
from sqlalchemy.sql.expression import ColumnElement

from manybase import Databases, Session
from tests.sessions import Run
from tests.shop import Entry, Event, Order, User

other = aliased(User)

READING: dict[str, Any] = {
    "entity": select(User),
    "columns": select(User.id, User.name.label("n")),
    "where": select(User).where(User.name.like("a%"), User.id.in_([1, 2])).order_by(User.id.desc()).limit(3).offset(1),
    "join": select(User).join(User.orders),
    "alias": select(other).where(other.id == 1),
    "aggregates": select(func.count(), func.max(User.id)).group_by(User.name).having(func.count() > 1),
    "window": select(func.row_number().over(order_by=User.id)),
    "case and cast": select(case((User.id > 1, "x"), else_="y"), cast(User.id, Int)),
    "subquery": select(select(User.id).subquery()),
    "CTE": select(select(User.id).cte("c")),
    "exists": select(User).where(exists().where(Order.user_id == User.id)),
    "union": union(select(User.id), select(Order.id)),
    "eager": select(User).options(joinedload(User.orders), selectinload(User.events)),
    "lateral": select(User.id, lateral(select(Order.id).where(Order.user_id == User.id)).c.id),
    "now": select(func.now(), User.id),
    "parameter": select(literal(1), User.id),
}


class Opaque(ColumnElement[int]):
    inherit_cache = True


@compiles(Opaque)
def render(*_: Any, **__: Any) -> str:
    return "set_something()"


NOT_PROVEN: dict[str, Any] = {
    "text": text("SELECT 1"),
    "text fragment": select(User).where(text("name = 'a'")),
    "literal column": select(User.id, literal_column("nextval('s')")),
    "unknown function": select(func.delete_everything(User.id)),
    "sequence function": select(func.nextval("s"), User.id),
    "function of a schema": select(func.audit.count(User.id)),
    "FOR UPDATE": select(User).with_for_update(),
    "FOR SHARE": select(User).with_for_update(read=True),
    "insert": insert(User).values(name="a"),
    "update": update(User).values(name="a"),
    "DML in a CTE": select(insert(User).values(name="a").returning(User.id).cte("i")),
    "construct of the user's own": select(User.id, Opaque()),
    "textual select": text("SELECT id FROM users").columns(User.id),
    "from_statement": select(User).from_statement(text("SELECT * FROM users")),
    "table by its name": select(column("id")).select_from(table("users")),
    "values": select(values(column("n", Int), name="v").data([(1,)])),
}


def reads(databases: Databases, statement: Any) -> bool:
    databases.load()
    return type(databases.router.candidates(statement)).__name__ == "ReadBy"


@pytest.mark.parametrize("name", READING)
def test_statement_that_only_reads(databases: Databases, name: str) -> None:
    """Nothing in it could change anything."""
    assert reads(databases, READING[name])


@pytest.mark.parametrize("name", NOT_PROVEN)
def test_statement_that_may_write(databases: Databases, name: str) -> None:
    """Something in it could, or cannot be seen through."""
    assert not reads(databases, NOT_PROVEN[name])


def note_writers(session: Session) -> set[str]:
    return set(session._enlisted._writers)


WORK: dict[str, tuple[Callable[[Session], Any], set[str]]] = {
    "select": (lambda s: s.scalars(select(User)).all(), set()),
    "get": (lambda s: s.get(User, 1), set()),
    "legacy Query": (lambda s: s.query(User).filter_by(name="x").count(), set()),
    "flush": (lambda s: (s.add(User(name="a")), s.flush()), {"shop"}),
    "flush of two": (lambda s: (s.add_all([User(name="a"), Event(kind="x")]), s.flush()), {"shop", "analytics"}),
    "bulk": (lambda s: s.bulk_save_objects([Entry(what="x")]), {"audit"}),
    "execute insert": (lambda s: s.execute(insert(Entry).values(what="x")), {"audit"}),
    "connection": (lambda s: s.connection(bind_arguments={"mapper": User}), {"shop"}),
    "text": (lambda s: s.execute(text("SELECT 1"), bind_arguments={"database": "audit"}), {"audit"}),
    "FOR UPDATE": (lambda s: s.scalars(select(User).with_for_update()).all(), {"shop"}),
}


@pytest.mark.parametrize("name", WORK)
def test_session_that_notes_its_writers(run: Run, name: str) -> None:
    """Those that were not only read, forgotten when the transaction ends."""
    work, expected = WORK[name]

    def body(session: Session) -> set[str]:
        work(session)
        noted = note_writers(session)
        session.rollback()
        assert set() == note_writers(session)
        return noted

    assert expected == run(body)


def test_statement_shape_seen_again(databases: Databases) -> None:
    """What is remembered of a statement says whether it reads."""
    databases.load()

    def statement(name: str) -> Select[Any]:
        return select(User).where(User.name == name)

    assert reads(databases, statement("a"))
    assert reads(databases, statement("b"))
