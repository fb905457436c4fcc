"""The tables of a statement: pure, no database is touched."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    CTE,
    DDL,
    Boolean,
    Column,
    Dialect,
    Integer,
    MetaData,
    Sequence,
    Table,
    delete,
    exists,
    func,
    insert,
    lateral,
    literal,
    select,
    table,
    text,
    union,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, aliased, column_property, joinedload, with_loader_criteria
from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable, DropTable, Index
from sqlalchemy.sql.expression import ColumnElement

from manybase.tables import tables_of
from tests.shop import Base, Event, Order, User

metadata = MetaData()
a = Table("a", metadata, Column("id", Integer, primary_key=True), Column("b_id", Integer))
b = Table("b", metadata, Column("id", Integer, primary_key=True))
c = Table("c", metadata, Column("id", Integer, primary_key=True))
index = Index("a_index", a.c.b_id)


class CountedBase(DeclarativeBase):
    pass


class Counted(CountedBase):
    """Its column_property brings in a table of another database."""

    __table__ = c
    users = column_property(select(func.count(User.id)).scalar_subquery())


def counting() -> CTE:
    start = select(a.c.id).cte(recursive=True)
    return start.union(select(b.c.id).join(start, start.c.id == b.c.id))


def distinct_on() -> Any:
    if distinct_on := getattr(postgresql, "distinct_on", None):  # SQLAlchemy 2.1
        return select(a.c.id).ext(distinct_on(a.c.b_id))
    return select(a.c.id).distinct(a.c.b_id)


def names(statement: Any, *dialects: Dialect) -> list[str]:
    return sorted(found.name for found in tables_of(statement, lambda: dialects))


STATEMENTS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "select": (lambda: select(a), ["a"]),
    "columns of two tables": (lambda: select(a.c.id, b.c.id), ["a", "b"]),
    "join": (lambda: select(a.c.id).join(b, a.c.b_id == b.c.id), ["a", "b"]),
    "alias": (lambda: select(a.alias("x")), ["a"]),
    "subquery": (lambda: select(select(b).subquery()), ["b"]),
    "scalar subquery in columns": (lambda: select(a.c.id, select(func.max(b.c.id)).scalar_subquery()), ["a", "b"]),
    "in a subquery": (lambda: select(a).where(a.c.b_id.in_(select(b.c.id))), ["a", "b"]),
    "exists": (lambda: select(a).where(exists().where(b.c.id == a.c.b_id)), ["a", "b"]),
    "order by a subquery": (lambda: select(a).order_by(select(func.max(b.c.id)).scalar_subquery()), ["a", "b"]),
    "cte": (lambda: select(select(b).cte()), ["b"]),
    "cte in a cte": (lambda: select(select(select(c).cte(), b).cte(), a), ["a", "b", "c"]),
    "recursive cte": (lambda: select(counting()), ["a", "b"]),
    "lateral": (lambda: select(a, lateral(select(b).where(b.c.id == a.c.b_id))), ["a", "b"]),
    "union": (lambda: union(select(a.c.id), select(b.c.id)), ["a", "b"]),
    "union of entities": (lambda: union(select(User.id), select(Order.id)), ["orders", "users"]),
    "insert": (lambda: insert(a).values(id=1), ["a"]),
    "insert of defaults": (lambda: insert(a), ["a"]),
    "insert from select": (lambda: insert(a).from_select(["id"], select(b.c.id)), ["a", "b"]),
    "insert of a subquery": (lambda: insert(a).values(id=select(func.max(b.c.id)).scalar_subquery()), ["a", "b"]),
    "insert returning": (lambda: insert(a).values(id=1).returning(a.c.id), ["a"]),
    "insert in a cte": (lambda: select(insert(a).values(id=1).returning(a.c.id).cte(), b), ["a", "b"]),
    "update": (lambda: update(a).values(id=1), ["a"]),
    "update from": (lambda: update(a).values(id=1).where(a.c.b_id == b.c.id), ["a", "b"]),
    "delete": (lambda: delete(a), ["a"]),
    "delete using": (lambda: delete(a).where(a.c.b_id == b.c.id), ["a", "b"]),
    "entity": (lambda: select(User), ["users"]),
    "attribute": (lambda: select(User.name), ["users"]),
    "aliased entity": (lambda: select(aliased(User)), ["users"]),
    "relationship join": (lambda: select(User).join(User.events), ["events", "users"]),
    "any()": (lambda: select(User).where(User.events.any()), ["events", "users"]),
    "joinedload": (lambda: select(User).options(joinedload(User.orders)), ["orders", "users"]),
    "column_property": (lambda: select(Counted), ["c", "users"]),
    "loader criteria": (
        lambda: select(Order).options(with_loader_criteria(Order, Order.user_id.in_(select(Event.user_id)))),
        ["events", "orders"],
    ),
    "a table itself": (lambda: a, ["a"]),
    "CREATE TABLE": (lambda: CreateTable(a), ["a"]),
    "DROP TABLE": (lambda: DropTable(a), ["a"]),
    "CREATE INDEX": (lambda: CreateIndex(index), ["a"]),
    "text": (lambda: text("SELECT * FROM a"), []),
    "function": (lambda: func.now(), []),
    "function of a column": (lambda: func.max(a.c.id), ["a"]),
    "function of a subquery": (lambda: func.coalesce(select(b.c.id).scalar_subquery(), 1), ["b"]),
    "column": (lambda: a.c.id, ["a"]),
    "no table": (lambda: select(literal(1)), []),
    "table() without MetaData": (lambda: select(table("loose")), []),
    "DDL text": (lambda: DDL("DROP TABLE a"), []),
    "sequence": (lambda: CreateSequence(Sequence("s")), []),
    "a function call as statement": (lambda: select(func.generate_series(1, 2).table_valued("n")), []),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement(statement: str) -> None:
    """All tables are found, wherever in the statement they stand."""
    make, expected = STATEMENTS[statement]

    assert expected == names(make())


UPSERTS: dict[str, Callable[[], Any]] = {
    "postgresql nothing": lambda: postgresql.insert(a).values(id=1).on_conflict_do_nothing(),
    "postgresql update": lambda: (
        postgresql.insert(a).values(id=1).on_conflict_do_update(index_elements=["id"], set_={"b_id": 2})
    ),
    "sqlite": lambda: sqlite.insert(a).values(id=1).on_conflict_do_nothing(),
    "mysql": lambda: mysql.insert(a).values(id=1).on_duplicate_key_update(b_id=2),
    "mariadb returning": lambda: mysql.insert(a).values(id=1).on_duplicate_key_update(b_id=2).returning(a.c.id),
    "postgresql array": lambda: select(postgresql.array([a.c.id])),
    "distinct on": lambda: distinct_on(),
}


@pytest.mark.parametrize("construct", UPSERTS)
def test_construct_of_one_dialect(construct: str) -> None:
    """A statement that only one backend can say shows its table all the same."""
    assert ["a"] == names(UPSERTS[construct](), postgresql.dialect(), mysql.dialect(), sqlite.dialect())


def test_upsert_with_a_subquery() -> None:
    """A table that stands in the ON CONFLICT clause only is found too."""
    other = select(func.max(b.c.id)).scalar_subquery()
    upsert = postgresql.insert(a).values(id=1).on_conflict_do_update(index_elements=["id"], set_={"b_id": other})

    assert ["a", "b"] == names(upsert, postgresql.dialect())


class Twice(ColumnElement[bool]):
    inherit_cache = True
    type = Boolean()


@compiles(Twice, "postgresql")
def render_twice(element: Twice, compiler: Any, **options: Any) -> str:
    return "twice()"


def test_construct_that_the_generic_dialect_cannot_render() -> None:
    """The dialects of the declared databases are tried, one after the other."""
    assert ["a"] == names(select(a).where(Twice()), sqlite.dialect(), postgresql.dialect())


def test_construct_that_no_declared_dialect_can_render() -> None:
    """SQLAlchemy's own error passes."""
    with pytest.raises(CompileError, match="Twice"):
        names(select(a).where(Twice()), sqlite.dialect())


def test_something_that_is_no_statement() -> None:
    """It has no tables, and nothing is raised: SQLAlchemy says what is wrong with it."""
    assert [] == names("SELECT 1")


def test_base_of_the_tests_is_configured() -> None:
    """The relationships of the test models resolve by name over three MetaDatas."""
    Base.registry.configure()

    assert Event.__mapper__ is User.__mapper__.relationships["events"].mapper
