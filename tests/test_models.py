"""Model, the optional declarative base."""

import gc
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    configure_mappers,
    declared_attr,
    mapped_column,
    relationship,
)

from manybase import ConfigurationError, Database, Databases, Model, Session, cross_key
from manybase.models import snake_case


@pytest.fixture(autouse=True)
def forget_classes() -> Iterator[None]:
    """Subclasses of Model know each other by name, process-wide; those of a test end with it."""
    yield
    Model.shared_metadata.clear()
    gc.collect()


def declare(*names: str) -> Databases:
    return Databases(*(Database(name, "sqlite://") for name in names))


def test_base_of_a_database() -> None:
    """It is abstract, and its classes have a MetaData that no other database's classes are in."""

    class ShopBase(Model, database="shop"):
        pass

    class AuditBase(Model, database="audit"):
        pass

    class Order(ShopBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert ShopBase.metadata is Order.metadata
    assert 3 == len({id(base.metadata) for base in (Model, ShopBase, AuditBase)})
    assert not hasattr(ShopBase, "__table__")


def test_owner_of_its_classes() -> None:
    """The database that the base names; models= does not have to repeat it."""

    class ShopBase(Model, database="shop"):
        pass

    class Order(ShopBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = declare("shop", "audit")

    with Session(declared) as session:
        assert "shop" == session.route(Order).database
    assert (Order.__table__,) == declared.tables("shop")
    assert [True, False] == [declared.ownership.declares_models(name) for name in declared.names]


def test_database_that_is_not_declared() -> None:
    """A misspelt database= is an error, not the default database."""

    class Order(Model, database="shpo"):
        id: Mapped[int] = mapped_column(primary_key=True)

    with Session(declare("shop")) as session, pytest.raises(ConfigurationError, match="'shpo', which is not declared"):
        session.route(Order)


def test_class_that_names_its_database_itself() -> None:
    """Such classes share the MetaData of their database, so strings in foreign keys find the others."""

    class Order(Model, database="shop"):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Line(Model, database="shop"):
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))

    class Entry(Model, database="audit"):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert (Order.__table__, Line.__table__) == declare("shop", "audit").tables("shop")
    assert (Entry.__table__,) == declare("shop", "audit").tables("audit")


def test_class_without_a_database() -> None:
    """It belongs to the default one, as every model that nobody claims."""

    class Plain(Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("audit"), Database("main", "sqlite://", default=True))

    with Session(declared) as session:
        assert "main" == session.route(Plain).database


def test_base_with_a_metadata_in_its_body() -> None:
    """It is kept: naming conventions and schemas are given this way."""
    own = MetaData(schema="sales", naming_convention={"pk": "pk_%(table_name)s"})

    class SalesBase(Model, database="sales"):
        metadata = own

    class Order(SalesBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert own is Order.metadata
    assert ["sales.order", "pk_order"] == [Order.__table__.fullname, Order.__table__.primary_key.name]
    assert (Order.__table__,) == declare("shop", "sales").tables("sales")


def test_one_metadata_for_two_databases() -> None:
    """Refused: what is in it could not be told apart."""
    own = MetaData()
    type("FirstBase", (Model,), {"metadata": own}, database="first")

    with pytest.raises(ConfigurationError, match="SecondBase: its MetaData belongs to database 'first' already"):
        type("SecondBase", (Model,), {"metadata": own}, database="second")


def test_base_with_a_type_annotation_map() -> None:
    """It holds for the classes of this base alone, and their names are still found by the others."""

    class ShortBase(Model, database="shop"):
        type_annotation_map: ClassVar[Any] = {str: String(7)}

    class Short(ShortBase):
        id: Mapped[str] = mapped_column(primary_key=True)

    class Long(Model, database="audit"):
        id: Mapped[str] = mapped_column(primary_key=True)
        short_id: Mapped[str] = mapped_column(cross_key(Short.id))
        short: Mapped["Short"] = relationship()

    configure_mappers()

    assert [7, None] == [model.__table__.c.id.type.length for model in (Short, Long)]
    assert Short is Long.short.property.mapper.class_


def test_common_columns_in_an_abstract_base() -> None:
    """`__abstract__` or a mixin gives columns to the classes below, each with a table of its own."""

    class Timed:
        seen: Mapped[int]

    class ShopBase(Timed, Model, database="shop"):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)

    tables = [type(name, (ShopBase,), {}).__table__ for name in ("Order", "Line")]

    assert ["order", "line"] == [table.name for table in tables]
    assert [{"id", "seen"}] * 2 == [set(table.columns.keys()) for table in tables]
    assert {*tables} == {*declare("shop", "audit").tables("shop")}


def test_base_below_a_base() -> None:
    """The nearest database= counts."""

    class ShopBase(Model, database="shop"):
        pass

    class ArchiveBase(ShopBase, database="archive"):
        pass

    class Order(ArchiveBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert [(), (Order.__table__,)] == [declare("shop", "archive").tables(name) for name in ("shop", "archive")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("User", "user"), ("OrderItem", "order_item"), ("HTTPLog", "http_log"), ("Order2Item", "order2_item"), ("A", "a")],
)
def test_table_name(name: str, expected: str) -> None:
    """The class name in snake_case, abbreviations kept together."""
    model = type(name, (Model,), {"id": Column(Integer, primary_key=True)}, database="shop")

    assert [expected] * 2 == [snake_case(name), model.__table__.name]


class NamedByMixin:
    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        return f"the_{cls.__name__.lower()}"


@pytest.mark.parametrize(
    ("bases", "body", "expected"),
    [
        ((Model,), {"__tablename__": "people", "id": Column(Integer, primary_key=True)}, "people"),
        ((Model,), {"__table__": Table("folk", MetaData(), Column("id", Integer, primary_key=True))}, "folk"),
        ((NamedByMixin, Model), {"id": Column(Integer, primary_key=True)}, "the_person"),
    ],
    ids=["__tablename__", "__table__", "mixin"],
)
def test_explicit_table_name(bases: Any, body: dict[str, Any], expected: str) -> None:
    """What the class says wins."""
    assert expected == type("Person", bases, body, database="people").__table__.name


def test_inheritance() -> None:
    """A child with a primary key in its body has a table of its own, any other shares its parent's."""

    class Employee(Model, database="staff"):
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}

    class Manager(Employee):
        budget: Mapped[int | None]
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "manager"}

    class ChiefEngineer(Employee):
        id: Mapped[int] = mapped_column(ForeignKey(Employee.id), primary_key=True)
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "engineer"}

    assert ["employee", "employee", "chief_engineer"] == [
        model.__mapper__.local_table.name for model in (Employee, Manager, ChiefEngineer)
    ]
    assert (Employee.__table__, ChiefEngineer.__table__) == declare("staff", "shop").tables("staff")


@pytest.mark.parametrize("bases", [(MappedAsDataclass, Model), (Model, MappedAsDataclass)], ids=["before", "after"])
def test_dataclasses(bases: Any) -> None:
    """MappedAsDataclass works with it, before or after, with its own keywords."""
    base: Any = type("DataBase", bases, {}, database="shop", kw_only=True)

    class Point(base, repr=False):  # type: ignore[misc]
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        x: Mapped[int] = mapped_column(default=3)

    assert [3, 5] == [Point().x, Point(x=5).x]
    assert "point" == Point.__table__.name
    assert "shop" == Point.metadata.info["database"]


def test_string_names_across_bases() -> None:
    """A relationship finds a class of another database by its name, declared before it or after it."""

    class ShopBase(Model, database="shop"):
        pass

    class AuditBase(Model, database="audit"):
        pass

    class Order(ShopBase):
        id: Mapped[int] = mapped_column(primary_key=True)
        entries: Mapped[list["Entry"]] = relationship(back_populates="order")

    class Entry(AuditBase):
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(cross_key(Order.id))
        order: Mapped["Order"] = relationship(back_populates="entries")

    configure_mappers()

    assert [Entry, Order] == [each.property.mapper.class_ for each in (Order.entries, Entry.order)]


def test_model_as_models() -> None:
    """`models=Model` is what names no database; classes that do, stay where they say."""

    class Leftover(Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Order(Model, database="shop"):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("main", "sqlite://", models=Model), Database("shop", "sqlite://"))

    assert Leftover.__table__ in declared.tables("main")
    assert (Order.__table__,) == declared.tables("shop")


def test_plain_base_beside_it() -> None:
    """Nobody has to inherit from Model: both kinds live in one program."""

    class Base(DeclarativeBase):
        pass

    class Plain(Base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Order(Model, database="shop"):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("main", "sqlite://", models=Base), Database("shop", "sqlite://"))

    with Session(declared) as session:
        assert ["main", "shop"] == [session.route(select(model)).database for model in (Plain, Order)]
