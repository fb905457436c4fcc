"""Model, the optional declarative base. Its classes are known by name, process-wide: no other test uses these."""

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
    before = {*Model.shared_metadata}
    yield
    for name in {*Model.shared_metadata} - before:
        del Model.shared_metadata[name]
    gc.collect()


def declare(*names: str) -> Databases:
    return Databases(*(Database(name, "sqlite://") for name in names))


def test_base_of_a_database() -> None:
    """It is abstract, and its classes have a MetaData that no other database's classes are in."""

    class DepotBase(Model, database="depot"):
        pass

    class LedgerBase(Model, database="ledger"):
        pass

    class Order(DepotBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert DepotBase.metadata is Order.metadata
    assert 3 == len({id(base.metadata) for base in (Model, DepotBase, LedgerBase)})
    assert not hasattr(DepotBase, "__table__")


def test_owner_of_its_classes() -> None:
    """The database that the base names; models= does not have to repeat it."""

    class DepotBase(Model, database="depot"):
        pass

    class Order(DepotBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = declare("depot", "ledger")

    with Session(declared) as session:
        assert "depot" == session.route(Order).database
    assert (Order.__table__,) == declared.tables("depot")
    assert [True, False] == [declared.ownership.declares_models(name) for name in declared.names]


def test_database_that_is_not_declared() -> None:
    """A misspelt database= is an error, not the default database."""

    class Order(Model, database="depto"):
        id: Mapped[int] = mapped_column(primary_key=True)

    with (
        Session(declare("depot")) as session,
        pytest.raises(ConfigurationError, match="'depto', which is not declared"),
    ):
        session.route(Order)


def test_class_that_names_its_database_itself() -> None:
    """Such classes share the MetaData of their database, so strings in foreign keys find the others."""

    class Order(Model, database="depot"):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Line(Model, database="depot"):
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))

    class Entry(Model, database="ledger"):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert (Order.__table__, Line.__table__) == declare("depot", "ledger").tables("depot")
    assert (Entry.__table__,) == declare("depot", "ledger").tables("ledger")


def test_class_without_a_database() -> None:
    """It belongs to the default one, as every model that nobody claims."""

    class Plain(Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("ledger"), Database("home", "sqlite://", default=True))

    with Session(declared) as session:
        assert "home" == session.route(Plain).database


def test_base_with_a_metadata_in_its_body() -> None:
    """It is kept: naming conventions and schemas are given this way."""
    own = MetaData(schema="kiosk", naming_convention={"pk": "pk_%(table_name)s"})

    class KioskBase(Model, database="kiosk"):
        metadata = own

    class Order(KioskBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert own is Order.metadata
    assert ["kiosk.order", "pk_order"] == [Order.__table__.fullname, Order.__table__.primary_key.name]
    assert (Order.__table__,) == declare("depot", "kiosk").tables("kiosk")


def test_one_metadata_for_two_databases() -> None:
    """Refused: what is in it could not be told apart."""
    own = MetaData()
    type("FirstBase", (Model,), {"metadata": own}, database="one")

    with pytest.raises(ConfigurationError, match="SecondBase: its MetaData belongs to database 'one' already"):
        type("SecondBase", (Model,), {"metadata": own}, database="two")


def test_base_with_a_type_annotation_map() -> None:
    """It holds for the classes of this base alone, and their names are still found by the others."""

    class ShortBase(Model, database="depot"):
        type_annotation_map: ClassVar[Any] = {str: String(7)}

    class Short(ShortBase):
        id: Mapped[str] = mapped_column(primary_key=True)

    class Long(Model, database="ledger"):
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

    class DepotBase(Timed, Model, database="depot"):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)

    tables = [type(name, (DepotBase,), {}).__table__ for name in ("Order", "Line")]

    assert ["order", "line"] == [table.name for table in tables]
    assert [{"id", "seen"}] * 2 == [set(table.columns.keys()) for table in tables]
    assert {*tables} == {*declare("depot", "ledger").tables("depot")}


def test_base_below_a_base() -> None:
    """The nearest database= counts."""

    class DepotBase(Model, database="depot"):
        pass

    class VaultBase(DepotBase, database="vault"):
        pass

    class Order(VaultBase):
        id: Mapped[int] = mapped_column(primary_key=True)

    assert [(), (Order.__table__,)] == [declare("depot", "vault").tables(name) for name in ("depot", "vault")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("User", "user"), ("OrderItem", "order_item"), ("HTTPLog", "http_log"), ("Order2Item", "order2_item"), ("A", "a")],
)
def test_table_name(name: str, expected: str) -> None:
    """The class name in snake_case, abbreviations kept together."""
    model = type(name, (Model,), {"id": Column(Integer, primary_key=True)}, database="depot")

    assert [expected] * 2 == [snake_case(name), model.__table__.name]


class NamedByMixin:
    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        return f"the_{cls.__name__.lower()}"


@pytest.mark.parametrize(
    ("bases", "body", "expected"),
    [
        ((Model,), {"__tablename__": "folks", "id": Column(Integer, primary_key=True)}, "folks"),
        ((Model,), {"__table__": Table("folk", MetaData(), Column("id", Integer, primary_key=True))}, "folk"),
        ((NamedByMixin, Model), {"id": Column(Integer, primary_key=True)}, "the_person"),
    ],
    ids=["__tablename__", "__table__", "mixin"],
)
def test_explicit_table_name(bases: Any, body: dict[str, Any], expected: str) -> None:
    """What the class says wins."""
    assert expected == type("Person", bases, body, database="folks").__table__.name


def test_inheritance() -> None:
    """A child with a primary key in its body has a table of its own, any other shares its parent's."""

    class Employee(Model, database="crew"):
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
    assert (Employee.__table__, ChiefEngineer.__table__) == declare("crew", "depot").tables("crew")


@pytest.mark.parametrize("bases", [(MappedAsDataclass, Model), (Model, MappedAsDataclass)], ids=["before", "after"])
def test_dataclasses(bases: Any) -> None:
    """MappedAsDataclass works with it, before or after, with its own keywords."""
    base: Any = type("DataBase", bases, {}, database="depot", kw_only=True)

    class Point(base, repr=False):  # type: ignore[misc]
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        x: Mapped[int] = mapped_column(default=3)

    assert [3, 5] == [Point().x, Point(x=5).x]
    assert "point" == Point.__table__.name
    assert "depot" == Point.metadata.info["database"]


def test_string_names_across_bases() -> None:
    """A relationship finds a class of another database by its name, declared before it or after it."""

    class DepotBase(Model, database="depot"):
        pass

    class LedgerBase(Model, database="ledger"):
        pass

    class Parcel(DepotBase):
        id: Mapped[int] = mapped_column(primary_key=True)
        stamps: Mapped[list["Stamp"]] = relationship(back_populates="parcel")

    class Stamp(LedgerBase):
        id: Mapped[int] = mapped_column(primary_key=True)
        parcel_id: Mapped[int] = mapped_column(cross_key(Parcel.id))
        parcel: Mapped["Parcel"] = relationship(back_populates="stamps")

    configure_mappers()

    assert [Stamp, Parcel] == [each.property.mapper.class_ for each in (Parcel.stamps, Stamp.parcel)]


def test_model_as_models() -> None:
    """`models=Model` is what names no database; classes that do, stay where they say."""

    class Leftover(Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Order(Model, database="depot"):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("home", "sqlite://", models=Model), Database("depot", "sqlite://"))

    assert Leftover.__table__ in declared.tables("home")
    assert (Order.__table__,) == declared.tables("depot")


def test_plain_base_beside_it() -> None:
    """Nobody has to inherit from Model: both kinds live in one program."""

    class Base(DeclarativeBase):
        pass

    class Plain(Base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Order(Model, database="depot"):
        id: Mapped[int] = mapped_column(primary_key=True)

    declared = Databases(Database("home", "sqlite://", models=Base), Database("depot", "sqlite://"))

    with Session(declared) as session:
        assert ["home", "depot"] == [session.route(select(model)).database for model in (Plain, Order)]
