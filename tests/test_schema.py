"""create_all and acreate_all: the tables of each database, in its own place."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, create_engine, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, declarative_base, mapped_column

from manybase import ConfigurationError, Database, Databases, cross_key
from tests.modules import WriteModule

CreateAll = Callable[..., None]


class ShopBase(DeclarativeBase):
    pass


class User(ShopBase):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Order(ShopBase):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))


class EventBase(DeclarativeBase):
    pass


class Event(EventBase):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(cross_key(User.id))


def sync(declared: Databases, *names: str) -> None:
    try:
        declared.create_all(*names)
    finally:
        declared.dispose()


def asynchronous(declared: Databases, *names: str) -> None:
    async def run() -> None:
        try:
            await declared.acreate_all(*names)
        finally:
            await declared.adispose()

    asyncio.run(run())


@pytest.fixture(params=[sync, asynchronous], ids=["create_all", "acreate_all"])
def create_all(request: pytest.FixtureRequest) -> CreateAll:
    """Both faces: each test runs for either."""
    face: CreateAll = request.param
    return face


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Databases]:
    """Declares databases in files, by the names and models that are passed."""
    return lambda **models: Databases(
        *(Database(name, f"sqlite:///{tmp_path}/{name}.db", models=each) for name, each in models.items())
    )


@pytest.fixture
def tables(tmp_path: Path) -> Callable[[str], list[str]]:
    """The tables that are in a file, asked by an engine of its own."""

    def in_file(name: str) -> list[str]:
        engine = create_engine(f"sqlite:///{tmp_path}/{name}.db")
        try:
            return sorted(inspect(engine).get_table_names())
        finally:
            engine.dispose()

    return in_file


def test_two_databases(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Each gets its own tables and no others."""
    create_all(declare(shop=ShopBase, events=EventBase))

    assert [["orders", "users"], ["events"]] == [tables("shop"), tables("events")]


def test_named_database(create_all: CreateAll, declare: Any, tables: Any, tmp_path: Path) -> None:
    """Only those that are named are touched."""
    create_all(declare(shop=ShopBase, events=EventBase), "events")

    assert ["events"] == tables("events")
    assert not (tmp_path / "shop.db").exists()


def test_again(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Tables that exist are left as they are: it can run at every start."""
    create_all(declare(shop=User))
    create_all(declare(shop=ShopBase))
    create_all(declare(shop=ShopBase))

    assert ["orders", "users"] == tables("shop")


def test_two_classes_of_one_base(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """One MetaData may be spread over several databases."""
    base: Any = declarative_base()
    one, two = (
        type(name, (base,), {"__tablename__": name, "id": Column(Integer, primary_key=True)}) for name in ("one", "two")
    )
    create_all(declare(a=one, b=two))

    assert [["one"], ["two"]] == [tables("a"), tables("b")]


def test_shared_models(create_all: CreateAll, tables: Any, tmp_path: Path) -> None:
    """Every database that shares them gets the tables."""
    regions = [
        Database(name, f"sqlite:///{tmp_path}/{name}.db", models=ShopBase, shared_models=True) for name in ("eu", "us")
    ]
    create_all(Databases(*regions))

    assert [["orders", "users"]] * 2 == [tables("eu"), tables("us")]


def test_foreign_key_into_another_metadata_of_the_database(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Its target is created first, whichever is declared first."""
    orders = MetaData()
    Table("late_orders", orders, Column("user_id", ForeignKey(User.id)))
    create_all(declare(shop=[orders, ShopBase]))

    assert ["late_orders", "orders", "users"] == tables("shop")


def test_core_tables_of_a_module(create_all: CreateAll, declare: Any, tables: Any, write_module: WriteModule) -> None:
    """An association table beside the classes is created with them."""
    write_module(
        "shop",
        """
        from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

        metadata = MetaData()
        users = Table("users", metadata, Column("id", Integer, primary_key=True))
        links = Table("links", metadata, Column("one", ForeignKey("users.id")), Column("two", ForeignKey("users.id")))
        """,
    )
    create_all(declare(shop="shop"))

    assert ["links", "users"] == tables("shop")


def test_tables_that_point_at_each_other(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """They are created without a warning."""
    metadata = MetaData()
    Table("a", metadata, Column("id", Integer, primary_key=True), Column("b", ForeignKey("b.id", name="a_b")))
    Table("b", metadata, Column("id", Integer, primary_key=True), Column("a", ForeignKey("a.id", name="b_a")))
    create_all(declare(shop=metadata))

    assert ["a", "b"] == tables("shop")


def test_no_models(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Left out where nothing is named; an error where that very database is."""
    declared = declare(shop=ShopBase, bare=[])
    create_all(declared)

    assert ["orders", "users"] == tables("shop")
    with pytest.raises(ConfigurationError, match="'bare' declares no models"):
        create_all(declared, "bare")


def test_no_tables(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Models without tables are no error: nothing is created."""
    create_all(declare(shop=ShopBase, bare=declarative_base()))

    assert [] == tables("bare")


def test_foreign_key_into_another_database(create_all: CreateAll, declare: Any, tables: Any) -> None:
    """Refused before that table is created: no server can check it. The error shows the cross_key to write."""
    base: Any = declarative_base()
    body = {"id": Column(Integer, primary_key=True), "user_id": Column(ForeignKey(User.id))}
    type("Torn", (base,), {"__tablename__": "torn", **body})

    with pytest.raises(
        ConfigurationError, match=r"torn\.user_id points at 'users'.*Declare it with cross_key\(users\.id\) instead of"
    ):
        create_all(declare(shop=ShopBase, events=base))
    assert [] == tables("events")


def test_foreign_key_by_name_into_another_database(create_all: CreateAll, declare: Any) -> None:
    """SQLAlchemy cannot find the name; the error adds that cross_key can."""
    base: Any = declarative_base()
    body = {"id": Column(Integer, primary_key=True), "user_id": Column(ForeignKey("users.id"))}
    type("Lost", (base,), {"__tablename__": "lost", **body})

    with pytest.raises(ConfigurationError, match=r"'lost\.user_id' could not find table 'users'.*write cross_key\(Ta"):
        create_all(declare(shop=ShopBase, events=base))


def test_foreign_key_between_classes_of_one_base(create_all: CreateAll, declare: Any) -> None:
    """Refused all the same where one MetaData is spread over two databases."""
    with pytest.raises(ConfigurationError, match=r"orders\.user_id points at 'users', which lives in another database"):
        create_all(declare(people=User, shop=Order))
