"""Which databases own a table or a class, and the declarations that contradict themselves."""

from typing import Any, ClassVar

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, declarative_base, mapped_column

from manybase import AmbiguousRoute, ConfigurationError, Database, Databases, Session, UnknownDatabase, cross_key
from tests.modules import WriteModule


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)


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


links = Table("links", Base.metadata, Column("user_id", ForeignKey(User.id)))


def declare(default: str | None = None, *, shared: bool = False, **models: Any) -> Databases:
    return Databases(
        *(
            Database(name, "sqlite://", models=each, default=name == default, shared_models=shared)
            for name, each in models.items()
        )
    )


def home(databases: Databases, statement: Any) -> str:
    with Session(databases) as session:
        return session.route(statement).database


def names(databases: Databases, database: str) -> list[str]:
    return [table.name for table in databases.tables(database)]


def test_claimed_class() -> None:
    """It goes to the database that claims it, as a class, a table, an alias or a column."""
    declared = declare(shop=User, analytics=Event)
    asked = [User, select(User), select(User.__table__), select(aliased(User)), select(User.id), User.__table__]

    assert ["shop"] * 6 == [home(declared, each) for each in asked]
    assert "analytics" == home(declared, Event)


def test_unclaimed_class_with_a_default() -> None:
    """It goes to the default database."""
    assert "main" == home(declare(default="main", main=[], shop=User), Event)


def test_unclaimed_class_without_a_default() -> None:
    """Refused, even where all others of its MetaData are in one place: a class is named, or it has no database."""
    with pytest.raises(ConfigurationError, match=r"'events' belongs to no database\. Declared: shop, audit\. Name its"):
        home(declare(shop=User, audit=[]), Event)


def test_one_database() -> None:
    """It is the default, so it needs no models."""
    assert "main" == home(declare(main=[]), User)


def test_unclaimed_association_table() -> None:
    """It goes where all claimed classes of its MetaData go, be the default elsewhere."""
    assert "shop" == home(declare(default="audit", shop=[User, Event], audit=[]), select(links))


def test_unclaimed_association_table_between_two_databases() -> None:
    """It goes where its foreign keys point: a server checks them, so they lead nowhere else."""
    assert "shop" == home(declare(shop=User, analytics=Event), select(links))


def test_unclaimed_table_between_two_databases() -> None:
    """Without foreign keys, where its MetaData is spread over several, it must be named."""
    base: Any = declarative_base()
    left, right = (type(n, (base,), {"__tablename__": n, "id": Column(Integer, primary_key=True)}) for n in "lr")
    pairs = Table("pairs", base.metadata, Column("left_id", Integer), Column("right_id", cross_key(right.id)))

    with pytest.raises(ConfigurationError, match="Table 'pairs' belongs to no database"):
        home(declare(shop=left, analytics=right), select(pairs))


@pytest.mark.parametrize(
    "models", [{"a": User, "b": User}, {"a": Base, "b": Event}, {"a": Base.metadata, "b": User.__table__}]
)
def test_table_claimed_twice(models: dict[str, Any]) -> None:
    """Refused at start-up; the error names the table, both databases and both ways out."""
    with pytest.raises(
        ConfigurationError,
        match=r"Table '(users|events)' is claimed by a and b\. Name it in models= of one of them, or .*shared_models=",
    ):
        declare(**models).load()


def test_module_and_a_class_in_it(write_module: WriteModule) -> None:
    """Claimed twice, whatever the form of the claims."""
    write_module(
        "people", "from tests.test_ownership import Base\nfrom sqlalchemy import *\nfrom sqlalchemy.orm import *"
    )
    person = type("Person", (declarative_base(),), {"__tablename__": "people", "id": Column(Integer, primary_key=True)})
    person.__module__ = "people"
    __import__("people").Person = person

    with pytest.raises(ConfigurationError, match="'people' is claimed by a and b"):
        declare(a="people", b=person).load()


def test_models_shared_by_several_databases() -> None:
    """Legal when each says so: every one of them owns the tables."""
    declared = declare(shared=True, eu=Base, us=Base)

    assert [names(declare(eu=Base), "eu")] * 2 == [names(declared, "eu"), names(declared, "us")]


def test_shared_models_in_a_session_that_is_not_pinned() -> None:
    """The error names the databases that would do, and how to say which."""
    with pytest.raises(AmbiguousRoute, match=r"hold these models: eu, us\. Say which one.*database=name") as raised:
        home(declare(shared=True, eu=User, us=User), User)

    assert ("eu", "us") == raised.value.databases


def test_shared_models_in_a_pinned_session() -> None:
    """The session says which one."""
    with Session(declare(shared=True, eu=User, us=User), database="us") as session:
        assert "us" == session.route(User).database


def test_models_shared_by_one_side_only() -> None:
    """Both must agree, else it is a table claimed twice."""
    with pytest.raises(ConfigurationError, match="'users' is claimed by eu and us"):
        Databases(Database("eu", models=User, shared_models=True), Database("us", models=User)).load()


def test_hierarchy() -> None:
    """Parent and children live together, whether a child has a table or not."""
    declared = declare(staff=Employee, rest=[User, Event])

    assert ["staff"] * 3 == [home(declared, each) for each in (Employee, Manager, Engineer)]


@pytest.mark.parametrize(
    "models", [{"a": Employee.__table__, "b": Engineer.__table__}, {"default": "b", "a": Engineer, "b": []}]
)
def test_hierarchy_over_two_databases(models: dict[str, Any]) -> None:
    """Refused: SQLAlchemy writes parent and child through one connection. The error says where the tables are."""
    with pytest.raises(ConfigurationError, match=r"Class 'Engineer' has tables in several databases \(.*employees: "):
        home(declare(**models), Engineer)


def test_refused_again() -> None:
    """A declaration that was refused once is refused every time, not only in the first request."""
    declared = declare(a=Employee.__table__, b=Engineer.__table__)

    for _ in range(3):
        with pytest.raises(ConfigurationError, match="Class 'Engineer' has tables in several databases"):
            home(declared, Engineer)


def test_database_named_in_info() -> None:
    """A table or a MetaData may name its database itself, without models=."""
    by_table = Table("by_table", MetaData(), Column("id", Integer), info={"database": "shop"})
    by_metadata = Table("by_metadata", MetaData(info={"database": "audit"}), Column("id", Integer))
    declared = declare(shop=[], audit=[])

    assert ["shop", "audit"] == [home(declared, select(by_table)), home(declared, select(by_metadata))]


@pytest.mark.parametrize("default", [None, "audit"])
def test_undeclared_database_named_in_info(default: str | None) -> None:
    """A misspelt name is an error, not the default database."""
    misspelt = Table("orders", MetaData(info={"database": "shpo"}), Column("id", Integer))

    with pytest.raises(ConfigurationError, match=r"'orders' says that it lives in database 'shpo', .* Declared: shop"):
        home(declare(default=default, shop=[], audit=[]), select(misspelt))


def test_info_against_models() -> None:
    """Two declarations that contradict each other are a table claimed twice."""
    table = Table("orders", MetaData(info={"database": "audit"}), Column("id", Integer))

    with pytest.raises(ConfigurationError, match="'orders' is claimed by audit and shop"):
        declare(shop=table, audit=[]).load()


def test_no_models() -> None:
    """A database without models= is not one without tables: asking for its tables is an error."""
    declared = declare(shop=Base, ledger=[])

    assert [True, False] == [declared.ownership.declares_models(name) for name in declared.names]
    with pytest.raises(
        ConfigurationError, match=r"'ledger' declares no models. Name them: Database\('ledger', \.\.\., m"
    ):
        declared.tables("ledger")


def test_no_tables() -> None:
    """A database whose models have no tables has none, and says so without an error."""
    declared = declare(shop=Base, audit=declarative_base())

    assert declared.ownership.declares_models("audit")
    assert () == declared.tables("audit")


def test_forgotten_class() -> None:
    """Asking for tables tells of a class that nobody claims, for it would be missing from the database."""
    with pytest.raises(ConfigurationError, match=r"Table '\w+' belongs to no database"):
        declare(shop=User, analytics=Event).tables("shop")


def test_tables_of_an_undeclared_database() -> None:
    """The error names those that are declared."""
    with pytest.raises(UnknownDatabase, match=r"'billing' is not declared. Declared: shop"):
        declare(shop=User).tables("billing")


def test_order_of_tables() -> None:
    """Those that others point at come first, also from one MetaData into another."""
    people, orders = MetaData(), MetaData()
    person = Table("person", people, Column("id", Integer, primary_key=True))
    order = Table("order", orders, Column("id", Integer, primary_key=True), Column("by", ForeignKey(person.c.id)))
    lines = Table("line", orders, Column("order", ForeignKey(order.c.id)))

    assert (person, order, lines) == declare(shop=[orders, people]).tables("shop")


def test_tables_that_point_at_each_other() -> None:
    """They have no order, which is no error and no warning."""
    metadata = MetaData()
    Table("a", metadata, Column("id", Integer, primary_key=True), Column("b", ForeignKey("b.id")))
    Table("b", metadata, Column("id", Integer, primary_key=True), Column("a", ForeignKey("a.id")))

    assert {"a", "b"} == set(names(declare(shop=metadata), "shop"))


@pytest.fixture
def growing() -> tuple[Databases, Any]:
    """A declaration that has been used, and a base for classes that come later."""
    base: Any = declarative_base()
    declared = declare(shop=base, audit=User)
    with Session(declared) as session:
        session.route(User)
    return declared, base


def test_class_that_comes_later(growing: tuple[Databases, Any]) -> None:
    """It is found when it is first used."""
    declared, base = growing
    late = type("Late", (base,), {"__tablename__": "late", "id": Column(Integer, primary_key=True)})

    assert "shop" == home(declared, late)


def test_contradiction_that_comes_later(growing: tuple[Databases, Any]) -> None:
    """It is told as at start-up, when the class is first used."""
    declared, base = growing
    info = {"info": {"database": "audit"}}
    late = type(
        "Late", (base,), {"__tablename__": "late", "__table_args__": info, "id": Column(Integer, primary_key=True)}
    )

    with pytest.raises(ConfigurationError, match="'late' is claimed by audit and shop"):
        home(declared, late)
