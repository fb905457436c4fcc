"""Hunted: selects that once gave other rows over two databases than in one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Numeric,
    String,
    TypeDecorator,
    case,
    create_engine,
    except_,
    exists,
    func,
    join,
    literal,
    outerjoin,
    select,
    type_coerce,
)
from sqlalchemy.exc import DataError, InternalError
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy.orm import Session as PlainSession
from sqlalchemy.orm import join as orm_join

from manybase import Database, Databases, Session, UnsupportedStatement
from manybase.federation import staging
from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.workspace import Workspace


class Here(DeclarativeBase):
    pass


class There(DeclarativeBase):
    pass


class Customer(Here):
    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    points: Mapped[int | None]


class Note(Here):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]


class Order(There):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    name: Mapped[str]
    note: Mapped[str | None]
    paid: Mapped[bool | None]
    x: Mapped[int | None]
    y: Mapped[int | None]
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal("0.05"))


class Item(There):
    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]


def rows() -> list[Any]:
    return [
        Customer(id=1, name="a\0b", points=1),
        Customer(id=2, name="c", points=5),
        Customer(id=3, name="d", points=None),
        Note(id=1, customer_id=1),
        Note(id=2, customer_id=2),
        Order(id=11, customer_id=1, name="a\0b", paid=True, x=7, y=8),
        Order(id=12, customer_id=1, name="c", note="c", paid=None, x=1, y=8),
        Order(id=13, customer_id=2, name="e", paid=False, x=1, y=None),
        Item(id=21, order_id=11),
        Item(id=22, order_id=11),
        Item(id=23, order_id=13),
    ]


class Pair:
    """Two files, and one with the same rows."""

    def __init__(self, directory: Path) -> None:
        urls = {name: f"sqlite:///{directory / name}.db" for name in ("here", "there", "both")}
        self.databases = Databases(
            Database("here", urls["here"], models=Here), Database("there", urls["there"], models=There)
        )
        self.both = create_engine(urls["both"])
        for base, name in ((Here, "here"), (There, "there")):
            engine = create_engine(urls[name])
            for each in (engine, self.both):
                base.metadata.create_all(each)
                with PlainSession(each) as session:
                    session.add_all(row for row in rows() if isinstance(row, base))
                    session.commit()
            engine.dispose()

    def expected(self, statement: Any) -> list[tuple[Any, ...]]:
        with PlainSession(self.both) as session:
            return sorted(map(tuple, session.execute(statement)), key=repr)

    def actual(self, statement: Any, executor: str) -> list[tuple[Any, ...]]:
        with Session(self.databases) as session:
            found = session.execute(statement, execution_options={"federation_executor": executor})
            return sorted(map(tuple, found), key=repr)

    def chosen(self, statement: Any) -> list[tuple[Any, ...]]:
        """By the executor that is chosen."""
        with Session(self.databases) as session:
            return sorted(map(tuple, session.execute(statement)), key=repr)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.databases.dispose()
    made.both.dispose()


executors = pytest.mark.parametrize("executor", ["python", "duckdb"])


@executors
def test_a_table_of_which_no_column_is_used(pair: Pair, executor: str) -> None:
    statement = select(func.sum(Customer.id), func.count()).select_from(join(Order, Customer, Customer.points > 2))
    assert pair.expected(statement) == pair.actual(statement, executor)


@executors
def test_two_cases_that_have_the_same_parts(pair: Pair, executor: str) -> None:
    first = case((Order.paid, Order.x), else_=Order.y)
    second = case((Order.x, Order.y), value=Order.paid)
    statement = select(Customer.id, first, second).join_from(Customer, Order, Order.customer_id == Customer.id)
    assert pair.expected(statement) == pair.actual(statement, executor)


@executors
def test_an_anti_join_beside_a_join_of_the_same_database(pair: Pair, executor: str) -> None:
    other, item = aliased(Order), aliased(Item)
    without = outerjoin(Order, Item, Order.x == 1)
    inner = join(without, other, (other.id == Order.id) & Item.id.is_(None))
    inner = outerjoin(inner, item, item.order_id == Order.id)
    statement = select(Customer.id, Order.id, item.id).select_from(
        join(Customer, inner, Customer.id == Order.customer_id)
    )
    assert pair.expected(statement) == pair.actual(statement, executor)


@executors
def test_keys_that_no_list_can_hold(pair: Pair, executor: str) -> None:
    statement = select(Customer.id, Order.id).join_from(Customer, Order, Order.name == Customer.name)
    assert pair.expected(statement) == pair.actual(statement, executor)


@executors
def test_an_outer_join_with_an_alias_of_a_subquery_that_has_parameters(pair: Pair, executor: str) -> None:
    some = aliased(Customer, select(Customer).where(Customer.points > 0).subquery())
    notes = orm_join(Note, some, Note.customer_id == some.id, isouter=True)
    statement = select(some.id, Note.id, Order.id, some.name).select_from(
        orm_join(notes, Order, Order.customer_id == some.points, isouter=True)
    )
    assert pair.expected(statement) == pair.actual(statement, executor)


def test_fragments_on_one_connection_are_not_fetched_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[int] = []
    together = staging.run_together

    def counted(those: Any, here: Any, *arguments: Any, **options: Any) -> None:
        jobs.append(len(those) + len(here))
        together(those, here, *arguments, **options)

    monkeypatch.setattr(staging, "run_together", counted)
    pair.actual(select(Customer.id, Order.id).join_from(Customer, Order, Customer.points < Order.x), "duckdb")
    assert {1} == set(jobs)


def test_exists_of_different_rows_beyond_an_offset(pair: Pair) -> None:
    mine = select(Order.x).where(Order.customer_id == Customer.id).distinct().offset(1)
    statement = select(Customer.id).where(mine.exists())
    assert pair.expected(statement) == pair.actual(statement, "duckdb")


def test_exists_of_what_another_select_does_not_have(pair: Pair) -> None:
    mine = select(Order.x).where(Order.customer_id == Customer.id, Order.paid)
    others = select(Item.order_id - 4).where(Item.id > Customer.id)
    statement = select(Customer.id).where(exists(except_(mine, others).scalar_subquery()))
    assert pair.expected(statement) == pair.actual(statement, "duckdb")


@executors
def test_groups_by_an_expression_of_two_databases(pair: Pair, executor: str) -> None:
    key = func.coalesce(Customer.points, Order.y)
    statement = (
        select(key, func.max(Customer.id), func.min(Order.id))
        .join_from(Customer, Order, Order.customer_id == Customer.id)
        .group_by(key)
    )
    assert pair.expected(statement) == pair.actual(statement, executor)


def test_an_aggregate_of_a_subquery_that_refers_to_its_rows(pair: Pair) -> None:
    most = select(func.max(Order.x)).where(Order.customer_id == Customer.id).scalar_subquery()
    statement = select(Customer.name, func.sum(most)).group_by(Customer.name)
    assert pair.expected(statement) == pair.actual(statement, "duckdb")


class Something(TypeDecorator[Any]):
    """Makes an empty list of NULL."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return [] if value is None else [value]


@pytest.mark.parametrize("executor", ["python", "duckdb"])
def test_count_of_what_is_none_and_not_null(pair: Pair, executor: str) -> None:
    """What counts is NULL in the database, not None in Python. The maximum is of both sides: groups begin here."""
    label = type_coerce(Order.y, Something)
    joined = select(Customer.id, func.count(label), func.max(Customer.points + Order.id)).join_from(
        Customer, Order, Customer.points < Order.id + 3
    )
    statement = joined.group_by(Customer.id)
    assert pair.expected(statement) == pair.actual(statement, executor)


@pytest.mark.parametrize("executor", ["python", "duckdb"])
def test_exact_numbers_computed_of_a_sqlite_database(pair: Pair, executor: str) -> None:
    """Not rounded to the digits of a column, row by row."""
    total = func.sum(Order.price * Order.price * Customer.points)
    statement = select(total).join_from(Customer, Order, Customer.id == Order.customer_id)

    assert [(Decimal("0.0175"),)] == pair.actual(statement, executor)


def test_a_subquery_within_exists_that_refers_to_a_table_around_both(pair: Pair) -> None:
    """It is computed neither for the table around both, nor as if the table between were its own."""
    note = aliased(Note)
    listed = select(note.customer_id).where((Note.id == 1) | (note.id == 2)).correlate(Note)
    between = select(Order.id).where(Order.customer_id == Note.customer_id, Order.x.in_(listed))
    statement = select(Note.id).where(between.exists())
    assert pair.expected(statement) == pair.chosen(statement)


def test_groups_by_whether_another_database_has_a_match(pair: Pair) -> None:
    """Selected as it is, as a part of something, by the name of a label, or not at all."""
    has = select(Order.id).where(Order.customer_id == Customer.id, Order.x > Customer.points).exists()
    label = case((has, "some"), else_="none").label("label")
    for statement in (
        select(has, func.max(Customer.points)).group_by(has),
        select(Customer.name, has, func.count()).group_by(Customer.name, has).order_by(has),
        select(label, func.count()).select_from(Customer).group_by("label"),
        select(label, func.count()).select_from(Customer).group_by(label),
        select(label, func.count()).select_from(Customer).group_by(label.element).having(~has),
        select(func.count()).select_from(Customer).group_by(has),
    ):
        assert pair.expected(statement) == pair.actual(statement, "duckdb")


def test_subtotals_by_whether_another_database_has_a_match(pair: Pair) -> None:
    """Refused: there the value is NULL in some rows, and what it is computed of is not."""
    has = select(Order.id).where(Order.customer_id == Customer.id, Order.x > Customer.points).exists()
    statement = select(has, func.count()).select_from(Customer).group_by(func.rollup(has))
    with pytest.raises(UnsupportedStatement) as error:
        pair.actual(statement, "duckdb")
    assert "Compute it in a derived table, and group by its column." == error.value.advice


def test_a_full_join_within_a_subquery_of_mariadb() -> None:
    """MariaDB has none: it is left to the executor, also as a derived table, and as the whole of a subquery."""
    full = select(Order.customer_id).select_from(join(Order, Item, Item.order_id == Order.id, full=True))
    table = full.where(Order.x == 1).subquery()
    databases = Databases(
        Database("here", "sqlite://", models=Here), Database("there", "mysql+pymysql://nowhere/there", models=There)
    )
    with Session(databases) as session:
        for statement in (
            select(Customer.id, Note.id).where(Customer.id.in_(full.where(Order.id > Note.id))),
            select(Customer.id, table.c.customer_id).join(table, table.c.customer_id == Customer.id),
            select(Customer.id).where(Customer.id.in_(full)),
            select(Customer.id).join(Order, (Order.customer_id == Customer.id) & Order.id.in_(full)),
        ):
            explained = session.explain(statement)
            assert "FULL" in (explained.sql or "")
            assert [] == [each.sql for each in explained.fragments if "FULL" in each.sql]


class Worded(TypeDecorator[Any]):
    """Has a word for NULL."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return "nothing" if value is None else value


def test_a_union_of_text_that_ignores_case() -> None:
    """Python, which compares exactly, does not do it."""
    databases = Databases(
        Database("here", "mysql+pymysql://nowhere/here", models=Here),
        Database("there", "mysql+pymysql://nowhere/there", models=There),
    )
    with Session(databases) as session:
        assert "duckdb" == session.explain(select(Customer.name).union(select(Order.name))).executor
        assert "python" == session.explain(select(Customer.name).union_all(select(Order.name))).executor
        assert "python" == session.explain(select(Customer.id).union(select(Order.id))).executor


@executors
def test_what_a_type_makes_of_null(pair: Pair, executor: str) -> None:
    """Also of the NULLs of an outer join, and of what is computed; that is computed with NULL."""
    label = type_coerce(Order.note, Worded)
    joined = select(Customer.id, Order.id, label).outerjoin_from(Customer, Order, Customer.id == Order.customer_id)
    for statement in (
        joined,
        joined.where(label.is_(None) | (Customer.id == 1)),
        joined.where(func.coalesce(Order.x, Customer.points) > 0).order_by(Customer.id, Order.id).limit(3),
        joined.union_all(joined),
    ):
        assert pair.expected(statement) == pair.actual(statement, executor)


def test_what_a_type_makes_of_null_in_a_list_of_rows_that_streams(pair: Pair) -> None:
    label = type_coerce(Order.note, Worded)
    statement = select(Customer.id, label).outerjoin_from(Customer, Order, Customer.id == Order.customer_id)
    with Session(pair.databases) as session:
        found = [tuple(row) for row in session.execute(statement, execution_options={"yield_per": 1})]

    assert pair.expected(statement) == sorted(found, key=repr)


def test_what_a_type_makes_of_null_where_duckdb_aggregates(pair: Pair) -> None:
    label = type_coerce(Order.note, Worded)
    joined = select(Customer.name, func.max(label), func.count(label)).outerjoin_from(
        Customer, Order, (Customer.id == Order.customer_id) & (Customer.points < Order.x)
    )
    statement = joined.group_by(Customer.name)
    assert pair.expected(statement) == pair.actual(statement, "duckdb")


INTERNAL, GIVEN_UP = dbapi.InternalError, dbapi.GivenUp


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        pytest.param([INTERNAL], [True, False], id="of this select"),
        pytest.param([GIVEN_UP] * 2, [True] * 3, id="of others"),
        pytest.param([GIVEN_UP, INTERNAL, GIVEN_UP], [True, True, False, False], id="of both"),
        pytest.param([INTERNAL] * 2, [True, False], id="for good"),
        pytest.param([GIVEN_UP] * 9, [True] * 5, id="of others, for good"),
    ],
)
def test_internal_error_of_duckdb(
    pair: Pair,
    errors: list[type[Exception]],
    expected: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """test_duckdb_workspace.py has real ones: what a select did not cause it does not suffer from."""
    tried: list[bool] = []

    class Failing(Workspace):
        def __init__(self, *, optimizes: bool, **options: Any) -> None:
            super().__init__(optimizes=optimizes, **options)
            self.optimizes = optimizes

        def execute(self, *arguments: Any, **options: Any) -> Any:
            tried.append(self.optimizes)
            if len(tried) <= len(errors):
                raise errors[len(tried) - 1]("of customer 7")
            return super().execute(*arguments, **options)

    monkeypatch.setattr("manybase.federation.duckdb.executor.Workspace", Failing)
    statement = select(Customer.id, Order.id).join_from(Customer, Order, Customer.points < Order.x)
    if len(expected) > len(errors):
        assert pair.expected(statement) == pair.actual(statement, "duckdb")
    else:
        with pytest.raises(InternalError, match="of customer 7"):
            pair.actual(statement, "duckdb")

    assert expected == tried
    assert (False in expected) == ("without its optimizer" in caplog.text)
    assert not any("7" in each.getMessage() for each in caplog.records if each.levelname == "WARNING")


def test_error_of_duckdb(pair: Pair) -> None:
    """It is SQLAlchemy's, as of any database, and does not tell the parameters."""
    statement = select((Customer.points + 9 + Order.x) * 2**62, literal("s3cret") + Customer.name)
    with pytest.raises(DataError, match="Out of Range") as caught:
        pair.actual(statement.join_from(Customer, Order, Customer.points < Order.x), "duckdb")
    assert "s3cret" not in str(caught.value)
