"""Raw SQL for a file that is attached: it runs in its own file, or not at all."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import DDL, Column, Integer, MetaData, Table, func, insert, inspect, literal_column, select, table, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Mapped, column_property, declarative_base

from manybase import Database, Databases, RoutingError, Session
from tests.sessions import SessionKind, statements

NAMES = ("a", "b")
ITEMS = {name: Table("items", MetaData(), Column("id", Integer, primary_key=True)) for name in NAMES}
ONLY_B = Table("only_b", ITEMS["b"].metadata, Column("id", Integer, primary_key=True))
TO_B = {"bind_arguments": {"database": "b"}}


@pytest.fixture
def twins(tmp_path: Path) -> Databases:
    """Two files with a table of the same name; a row of `a` has id 1, one of `b` id 2."""
    return Databases(
        *(Database(name, f"sqlite:///{tmp_path}/{name}.db", models=ITEMS[name].metadata) for name in NAMES)
    )


def attach(session: Session) -> None:
    for number, name in enumerate(NAMES, 1):
        session.execute(insert(ITEMS[name]).values(id=number))
    assert session._files is not None
    assert {"a": ["a", "b"]} == session._files.groups


REFUSED = [
    text("SELECT count(*) FROM words"),
    text("SELECT id FROM items"),
    text("SELECT id FROM b.items JOIN items USING (id)"),
    text("SELECT x.id FROM b.items AS x, items"),
    text("WITH c AS (SELECT id FROM items) SELECT id FROM c"),
    text("DELETE FROM items"),
    text("/* a comment */ UPDATE items SET id = :id").bindparams(id=9),
    text("SELECT name FROM sqlite_master"),
    text("CREATE TABLE more (id INTEGER)"),
    text("PRAGMA table_info(items)"),
    text("PRAGMA main.table_info(items)"),
    text("PRAGMA user_version = 7"),
    text("SELECT name FROM pragma_table_info('items')"),
    text("ANALYZE"),
    text("SELECT id FROM items").columns(Column("id", Integer)),
    DDL("DROP TABLE items"),
    DDL("CREATE VIEW b.v AS SELECT id FROM b.items"),
    text("CREATE TRIGGER b.t AFTER INSERT ON items BEGIN SELECT 1; END"),
    select(ITEMS["b"].c.id).where(text("id IN (SELECT id FROM items)")),
    select(ITEMS["b"].c.id).where(text("id IN items")),
    select(ITEMS["b"].c.id, literal_column("(SELECT max(id) FROM items)")),
    select(func.count()).select_from(table("items")),
    insert(table("items", Column("id", Integer))).values(id=9),
    select(ITEMS["b"]).prefix_with(text("(SELECT max(id) FROM items),")),
]


@pytest.mark.parametrize("statement", REFUSED, ids=str)
def test_raw_sql_that_would_leave_its_file(session_kind: SessionKind, twins: Databases, statement: Any) -> None:
    """It is refused before it runs; the error names both databases and what to write."""

    def body(session: Session) -> None:
        session.connection(bind_arguments={"database": "a"}).exec_driver_sql("CREATE VIRTUAL TABLE words USING fts5(w)")
        session.commit()
        attach(session)
        with statements(session.databases) as ran, pytest.raises(RoutingError, match="database 'b'") as caught:
            session.execute(statement, **TO_B)
        assert not ran or "items" in ran[-1].sql.lower() or "pragma" in ran[-1].sql.lower() or ran[-1].database == "b"
        assert "Session(databases, database='b')" in str(caught.value)
        assert [1] == session.scalars(select(ITEMS["a"].c.id)).all()
        assert [2] == session.scalars(select(ITEMS["b"].c.id)).all()
        session.commit()

    session_kind.run(twins, body)


ALLOWED = {
    "SELECT id FROM b.items": [2],
    'SELECT id FROM "b".items WHERE id IN (SELECT max(id) FROM b.items)': [2],
    "WITH c AS (SELECT id FROM b.items) SELECT id FROM c": [2],
    "SELECT 1 + 1": [2],
    "SELECT count(*) + 2 FROM only_b": [2],
    "PRAGMA b.user_version": [0],
    'PRAGMA "b".user_version': [0],
    "SELECT count(*) FROM b.sqlite_master": [2],
    "SELECT value FROM json_each('[2]')": [2],
}


@pytest.mark.parametrize("sql", ALLOWED)
def test_raw_sql_that_stays_in_its_file(session_kind: SessionKind, twins: Databases, sql: str) -> None:
    """It runs: with the file's name in front, without tables, or where no other file has such a table."""

    def body(session: Session) -> list[Any]:
        attach(session)
        connection = session.connection(**TO_B)
        assert ALLOWED[sql] == [*connection.exec_driver_sql(sql).scalars()]
        return [*session.scalars(text(sql), **TO_B)]

    assert ALLOWED[sql] == session_kind.run(twins, body)


def test_raw_writes(session_kind: SessionKind, twins: Databases) -> None:
    """With the file's name in front they go there, with one set of parameters and with several."""

    def body(session: Session) -> list[Any]:
        attach(session)
        session.execute(text("INSERT INTO b.items VALUES (:id)"), [{"id": 3}, {"id": 4}], **TO_B)
        connection = session.connection(**TO_B)
        connection.exec_driver_sql("INSERT INTO b.items VALUES (?)", (5,))
        with pytest.raises(RoutingError):
            connection.exec_driver_sql("INSERT INTO items VALUES (?)", [(6,), (7,)])
        session.execute(DDL("CREATE TABLE b.more (id INTEGER)"), **TO_B)
        session.execute(text("DROP TABLE b.more"), **TO_B)
        session.commit()
        return [session.scalars(select(ITEMS[name].c.id)).all() for name in NAMES]

    assert [[1], [2, 3, 4, 5]] == session_kind.run(twins, body)


def test_raw_sql_of_the_first_file(session_kind: SessionKind, twins: Databases) -> None:
    """It does not reach an attached one, even where its own has no such table."""

    def body(session: Session) -> list[Any]:
        attach(session)
        to_a = {"bind_arguments": {"database": "a"}}
        for sql in ("DELETE FROM only_b", "SELECT id FROM b.items"):
            with pytest.raises(RoutingError, match="'a' would use tables of database 'b'"):
                session.execute(text(sql), **to_a)
        session.execute(text("PRAGMA user_version"), **to_a)
        return session.scalars(text("SELECT id FROM items"), **to_a).all()

    assert [1] == session_kind.run(twins, body)


def test_text_in_the_statement_that_reaches_the_file_first(session_kind: SessionKind, twins: Databases) -> None:
    """Text that may name tables keeps the file on its own connection; other text does not."""

    def body(session: Session) -> list[Any]:
        session.execute(insert(ITEMS["a"]).values(id=1))
        found = session.scalars(select(ITEMS["b"].c.id).where(text("id IN (SELECT id FROM items)"))).all()
        assert session._files is not None
        apart = session._files.groups
        session.rollback()
        session.execute(insert(ITEMS["a"]).values(id=1))
        session.scalars(select(ITEMS["b"].c.id).where(text("id = 2"))).all()
        return [found, apart, session._files.groups]

    assert [[], {"a": ["a"]}, {"a": ["a", "b"]}] == session_kind.run(twins, body)


def test_schema_translate_map_of_a_statement(session_kind: SessionKind, twins: Databases) -> None:
    """It would undo ours, so it is refused."""

    def body(session: Session) -> None:
        attach(session)
        with pytest.raises(RoutingError, match="schema_translate_map"):
            session.execute(select(ITEMS["b"]), execution_options={"schema_translate_map": {None: None}})

    session_kind.run(twins, body)


def test_inspecting_an_attached_file(session_kind: SessionKind, twins: Databases) -> None:
    """The inspector answers with the file's name as schema, and is refused without."""

    def body(session: Session) -> list[Any]:
        attach(session)
        inspector = inspect(session.connection(**TO_B))
        with pytest.raises(RoutingError):
            inspector.get_table_names()
        return [inspector.get_table_names("b"), [each["name"] for each in inspector.get_columns("items", "b")]]

    assert [["items", "only_b"], ["id"]] == session_kind.run(twins, body)


def test_isolation_level_of_an_attached_file(session_kind: SessionKind, twins: Databases) -> None:
    """It belongs to the connection, which is another file's, in a transaction."""

    def body(session: Session) -> None:
        attach(session)
        session.commit()
        session.execute(insert(ITEMS["a"]).values(id=5))
        with pytest.raises(RoutingError, match="isolation level"):
            session.connection(
                bind_arguments={"clause": select(ITEMS["b"])}, execution_options={"isolation_level": "AUTOCOMMIT"}
            )
        session.rollback()
        assert [1] == session.scalars(select(ITEMS["a"].c.id)).all()

    session_kind.run(twins, body)


def test_text_in_a_mapping_and_in_a_default(session_kind: SessionKind, tmp_path: Path) -> None:
    """What a mapper or a column adds to a statement is looked at too."""
    bases = {name: declarative_base() for name in NAMES}

    class A(bases["a"]):  # type: ignore[misc]
        __tablename__ = "items"
        id = Column(Integer, primary_key=True)

    class B(bases["b"]):  # type: ignore[misc]
        __tablename__ = "items"
        id = Column(Integer, primary_key=True)
        most: Mapped[int] = column_property(literal_column("(SELECT max(id) FROM items)", Integer))

    class N(bases["b"]):  # type: ignore[misc]
        __tablename__ = "numbered"
        __table_args__: ClassVar = {"implicit_returning": False}  # so that SQLAlchemy runs the default by itself
        id = Column(Integer, primary_key=True, default=select(func.max(B.__table__.c.id)).scalar_subquery())

    declared = Databases(*(Database(n, f"sqlite:///{tmp_path}/{n}.db", models=bases[n]) for n in NAMES))

    def body(session: Session) -> None:
        session.add(A(id=1))
        session.flush()
        for fails in (lambda: session.scalars(select(B)).all(), lambda: session.execute(insert(N))):
            with pytest.raises((RoutingError, StatementError), match="would use tables of database 'a'"):
                fails()

    session_kind.run(declared, body)
