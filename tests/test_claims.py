"""What one entry of `models=` stands for, in each of its forms."""

import email
import sys
from typing import Any, ClassVar

import pytest
import sqlmodel
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, declarative_base, mapped_column, registry

from manybase import ConfigurationError, Database, Databases, Session
from tests.modules import WriteModule

IMPORTS = """
from sqlalchemy import Column, ForeignKey, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry
"""
MODELS = f"""{IMPORTS}
class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
ASSOCIATION = f"""{MODELS}
links = Table("links", Base.metadata, Column("user_id", ForeignKey(User.id)))
"""
IN_A_FUNCTION = f"""{MODELS}
def make():
    class Hidden(Base):
        __tablename__ = "hidden"
        id: Mapped[int] = mapped_column(primary_key=True)

    return [Hidden]

made = make()
"""
IMPERATIVE = f"""{IMPORTS}
class Plain:
    pass

mapping = registry()
mapping.map_imperatively(Plain, Table("plain", mapping.metadata, Column("id", Integer, primary_key=True)))
"""


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)


class Part(Base):
    """Abstract, in the MetaData of its parent."""

    __abstract__ = True


class Item(Part):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)


class ShopBase(Base):
    """Abstract, with a MetaData of its own."""

    __abstract__ = True
    metadata = MetaData()


class User(ShopBase):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


user_tags = Table("user_tags", ShopBase.metadata, Column("user_id", ForeignKey(User.id)))


class Employee(Base):
    __tablename__ = "employees"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}


class Manager(Employee):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "manager"}


class Engineer(Employee):
    __tablename__ = "engineers"
    id: Mapped[int] = mapped_column(ForeignKey(Employee.id), primary_key=True)
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "engineer"}


class Draft(sqlmodel.SQLModel, table=True):
    id: int | None = sqlmodel.Field(default=None, primary_key=True)


class AnalyticsModel(sqlmodel.SQLModel):
    metadata = MetaData()


class Visit(AnalyticsModel, table=True):
    id: int | None = sqlmodel.Field(default=None, primary_key=True)


class DataBase(MappedAsDataclass, DeclarativeBase):
    pass


class Point(DataBase):
    __tablename__ = "points"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    x: Mapped[int]


def claimed(models: Any) -> set[str]:
    """The tables of a database with these `models=`; the default one owns what it does not claim."""
    declared = Databases(Database("shop", "sqlite://", models=models), Database("rest", "sqlite://", default=True))
    return {table.name for table in declared.tables("shop")}


def test_module(write_module: WriteModule) -> None:
    """It is imported when the declaration is first used, and owns the classes it defines."""
    write_module("shop", MODELS)

    assert {"users"} == claimed("shop")


def test_nothing_is_imported_at_declaration(write_module: WriteModule) -> None:
    """So the module of the models may import the one that declares the databases."""
    write_module("shop", MODELS)
    Databases(Database("shop", "sqlite://", models="shop"))

    assert "shop" not in sys.modules


def test_package(write_module: WriteModule) -> None:
    """It owns what the modules below it define: those it imports itself, and those imported later."""
    write_module("shop.people.users", MODELS)
    write_module("shop.orders", MODELS.replace("users", "orders"))
    write_module("shop", "import shop.people.users")

    assert {"users"} == claimed("shop")

    __import__("shop.orders")

    assert {"users", "orders"} == claimed("shop")


def test_modules_below_one_package(write_module: WriteModule) -> None:
    """Each belongs to the database that names it."""
    write_module("company.shop", MODELS)
    write_module("company.audit", MODELS.replace("users", "entries"))
    declared = Databases(
        Database("shop", "sqlite://", models="company.shop"), Database("audit", "sqlite://", models="company.audit")
    )

    assert ["users", "entries"] == [table.name for name in declared.names for table in declared.tables(name)]


def test_module_whose_name_begins_alike(write_module: WriteModule) -> None:
    """`shop` does not own what is in `shopping`."""
    write_module("shop", MODELS)
    write_module("shopping", MODELS.replace("users", "baskets"))
    __import__("shopping")

    assert {"users"} == claimed("shop")


def test_module_that_imports_a_class(write_module: WriteModule) -> None:
    """A class belongs to the module that defines it, wherever else its name appears."""
    write_module("shop", MODELS)
    write_module("reports", f"from shop import User\n{MODELS.replace('User', 'Report').replace('users', 'reports')}")

    assert {"reports"} == claimed("reports")


@pytest.mark.parametrize(
    ("source", "expected"),
    [(ASSOCIATION, {"users", "links"}), (IN_A_FUNCTION, {"users", "hidden"}), (IMPERATIVE, {"plain"})],
    ids=["Core table", "class made in a function", "imperative mapping"],
)
def test_what_a_module_defines(write_module: WriteModule, source: str, expected: set[str]) -> None:
    """Besides declarative classes: Core tables, classes that are no attribute of it, and mappings from outside."""
    write_module("shop", source)

    assert expected == claimed("shop")


def test_core_table_that_a_module_imports(write_module: WriteModule) -> None:
    """It stays with the database whose MetaData it is in."""
    write_module("shop", ASSOCIATION)
    write_module("reports", f"from shop import links\n{MODELS.replace('users', 'reports')}")
    __import__("shop")
    declared = Databases(
        Database("shop", "sqlite://", models=sys.modules["shop"].Base), Database("reports", models="reports")
    )

    assert [["users", "links"], ["reports"]] == [[t.name for t in declared.tables(name)] for name in declared.names]


def test_core_table_that_two_modules_hold(write_module: WriteModule) -> None:
    """Standing in a module is too weak a claim where it stands in several."""
    write_module("one", "from sqlalchemy import MetaData, Table\n\nlogs = Table('logs', MetaData())")
    write_module("two", "from one import logs")
    declared = Databases(Database("a", "sqlite://", models="one"), Database("b", "sqlite://", models="two"))

    with Session(declared) as session, pytest.raises(ConfigurationError, match="Table 'logs' belongs to no database"):
        session.route(sys.modules["one"].logs.select())


def test_module_with_a_string_that_is_no_module() -> None:
    """Only what SQLAlchemy knows is looked at: a module of the standard library claims nothing."""
    assert set() == claimed("email.message")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (ShopBase, {"users", "user_tags"}),
        (ShopBase.metadata, {"users", "user_tags"}),
        (Part, {"items"}),
        (Item, {"items"}),
        (user_tags, {"user_tags"}),
        ([Event, Item], {"events", "items"}),
        ({Event, "email", Item.__table__}, {"events", "items"}),
        (Employee, {"employees", "engineers"}),
        (Manager, {"employees"}),
        ([User, Employee], {"users", "user_tags", "employees", "engineers"}),
        (Point, {"points"}),
        (DataBase, {"points"}),
    ],
)
def test_objects(models: Any, expected: set[str]) -> None:
    """A base owns its MetaData and what is below it, a class its own tables and those of its children."""
    assert expected == claimed(models)


def test_base_above_a_base_with_a_metadata_of_its_own() -> None:
    """It owns what is below the other too, unless another database names that one."""
    declared = Databases(Database("all", "sqlite://", models=Base), Database("shop", "sqlite://", models=[ShopBase]))

    assert {"users", "user_tags"} <= claimed(Base)
    assert {"users", "user_tags"} == {table.name for table in declared.tables("shop")}
    assert "users" not in {table.name for table in declared.tables("all")}


def test_old_style_base() -> None:
    """What `declarative_base()` makes is a base like any other."""
    base: Any = declarative_base()
    type("Old", (base,), {"__tablename__": "old", "id": Column(Integer, primary_key=True)})

    assert {"old"} == claimed(base)


def test_imperative_mapping() -> None:
    """A class that is mapped from outside is named like a declarative one."""

    class Plain:
        pass

    mapping = registry()
    mapping.map_imperatively(Plain, Table("plain", mapping.metadata, Column("id", Integer, primary_key=True)))

    assert {"plain"} == claimed(Plain)


@pytest.mark.parametrize(
    ("models", "expected"),
    [(sqlmodel.SQLModel, {"draft", "visit"}), (Draft, {"draft"}), (AnalyticsModel, {"visit"}), ([Visit], {"visit"})],
)
def test_sqlmodel(models: Any, expected: set[str]) -> None:
    """SQLModel classes are used as they are: its base, one with a MetaData of its own, and single classes."""
    assert expected == claimed(models) & {"draft", "visit"}


def test_sqlmodel_in_two_databases() -> None:
    """SQLModel itself for one, a base with a MetaData of its own for the other: the closer base wins."""
    declared = Databases(
        Database("shop", "sqlite://", models=sqlmodel.SQLModel), Database("visits", "sqlite://", models=AnalyticsModel)
    )

    assert {"draft"} == {table.name for table in declared.tables("shop")} & {"draft", "visit"}
    assert {"visit"} == {table.name for table in declared.tables("visits")}


def test_class_defined_after_the_first_session() -> None:
    """It belongs where its base does, without anything being called."""

    class Late(DeclarativeBase):
        pass

    declared = Databases(Database("shop", "sqlite://", models=Late), Database("rest", "sqlite://"))
    declared.load()
    model = type("Latecomer", (Late,), {"__tablename__": "late", "id": Column(Integer, primary_key=True)})

    with Session(declared) as session:
        assert "shop" == session.route(model).database
    assert ["late"] == [table.name for table in declared.tables("shop")]


class NotMapped:
    pass


@pytest.mark.parametrize(
    "models",
    [None, 5, "", ".models", "shop/models.py", "shop.models:Base", object(), NotMapped, {"shop": "models"}, registry()],
)
def test_something_else(models: Any) -> None:
    """Refused at declaration, before anything is imported; the error says what models= takes."""
    with pytest.raises(ConfigurationError, match=r"'shop': models= takes dotted modules such as 'shop\.models'"):
        Databases(Database("shop", "sqlite://", models=models))


@pytest.mark.parametrize("models", [create_engine("sqlite://"), make_url("sqlite://me@/shop"), lambda: None])
def test_argument_in_the_wrong_place(models: Any) -> None:
    """The error names its type, not its content."""
    with pytest.raises(ConfigurationError, match=f"not an object of type {type(models).__name__}"):
        Databases(Database("shop", "sqlite://", models=models))


def test_module_object() -> None:
    """The error says to give the name: importing it is for later."""
    with pytest.raises(ConfigurationError, match=r"Give its name: models='email'"):
        Databases(Database("shop", "sqlite://", models=email))


@pytest.mark.parametrize("missing", ["nowhere", "nowhere.models", "email.nowhere"])
def test_module_that_does_not_exist(missing: str) -> None:
    """The error names the part that is missing, and what to check."""
    declared = Databases(Database("shop", "sqlite://", models=missing))

    with pytest.raises(ConfigurationError, match=f"models='{missing}' cannot be.*nowhere'. Check the spelling"):
        Session(declared)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nowhere_else", ModuleNotFoundError),
        ("from email import nothing_like_that", ImportError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_module_that_cannot_be_imported(write_module: WriteModule, source: str, error: type[Exception]) -> None:
    """Its own error passes with its traceback: the declaration is right, the module is not."""
    write_module("broken", source)
    declared = Databases(Database("shop", "sqlite://", models="broken"))

    with pytest.raises(error) as raised:
        Session(declared)

    assert "broken.py" in [getattr(entry.path, "name", "") for entry in raised.traceback]


def test_module_that_is_repaired(write_module: WriteModule) -> None:
    """A failed start leaves nothing half done: the next session tries again."""
    write_module("repaired", "1 / 0")
    declared = Databases(Database("shop", "sqlite://", models="repaired"))
    with pytest.raises(ZeroDivisionError):
        Session(declared)
    write_module("repaired", f"{MODELS}\n# whole")

    declared.load()

    assert ["users"] == [table.name for table in declared.tables("shop")]
