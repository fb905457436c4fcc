"""Routing: which database a statement goes to. Pure: no engine is made, nothing connects."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exc, select, text, union, update
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, with_loader_criteria

from manybase import AmbiguousRoute, CrossDatabaseError, Database, Databases, Route, RoutingError, UnknownDatabase
from manybase.routing import Across, Router
from manybase.scope import Scope
from tests.shop import NAMES, AnalyticsBase, Event, Order, ShopBase, User, shop_databases

ANY = Scope()


@pytest.fixture
def router() -> Router:
    return shop_databases(dict.fromkeys(NAMES, "sqlite://")).router


def test_statement_over_one_database(router: Router) -> None:
    """It goes where all its tables are."""
    statement = select(User).join(User.orders)

    assert {"shop"} == router.candidates(statement)


def test_statement_over_two_databases(router: Router) -> None:
    """It goes to both, and knows which tables are whose."""
    found = router.candidates(select(User.name, Order.total, Event.kind))

    assert isinstance(found, Across)
    assert {"analytics", "shop"} == found
    assert {"analytics": ["events"], "shop": ["orders", "users"]} == {k: sorted(v) for k, v in found.tables.items()}
    assert "analytics + shop" == router.choose(found, ANY).database


@pytest.mark.parametrize("scope", [ANY, Scope("shop")], ids=["named", "pinned"])
def test_statement_over_two_databases_that_is_to_run_on_one(router: Router, scope: Scope) -> None:
    """It is refused; the error names the tables and their databases, in words and as attributes."""
    found = router.candidates(select(User.name, Order.total, Event.kind))
    with pytest.raises(CrossDatabaseError) as caught:
        router.choose(found, scope, "shop" if scope is ANY else None)

    assert {"analytics": ("events",), "shop": ("orders", "users")} == caught.value.tables
    assert ("analytics", "shop") == caught.value.databases
    assert "(analytics: events; shop: orders, users)" in str(caught.value)
    assert "is to run on 'shop' alone" in str(caught.value)


def test_write_over_two_databases(router: Router) -> None:
    """The advice is about writing; also where the write is in a CTE."""
    writing_cte = update(Event).values(kind="x").returning(Event.user_id).cte()

    for statement in (
        update(User).where(User.id == Event.user_id).values(name="x"),
        select(User).join(writing_cte, writing_cte.c.user_id == User.id),
        select(User).from_statement(update(User).where(User.id == Event.user_id).returning(User)),
    ):
        with pytest.raises(CrossDatabaseError, match="A write goes to one database"):
            router.candidates(statement)


def test_text(router: Router) -> None:
    """Its tables cannot be known: it has no candidates."""
    assert frozenset() == router.candidates(text("SELECT * FROM users"))


def test_loader_criteria_that_bring_another_database(router: Router) -> None:
    """Two statements that differ in their criteria only are two shapes, and the second needs both databases."""
    own = with_loader_criteria(Order, Order.total > 1)
    foreign = with_loader_criteria(Order, Order.user_id.in_(select(Event.user_id)))

    assert {"shop"} == router.candidates(select(Order).options(own))
    assert {"analytics", "shop"} == router.candidates(select(Order).options(foreign))


def test_column_property_that_brings_another_database() -> None:
    """It shows in no part of the statement that one writes, and is found."""

    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        event = column_property(select(Event.kind).where(Event.id == 1).scalar_subquery())

    databases = Databases(Database("crm", models=[Base, ShopBase]), Database("analytics", models=AnalyticsBase))

    assert {"analytics", "crm"} == databases.router.candidates(select(Customer))
    assert {"crm"} == databases.router.candidates(select(Customer.id))


def test_tables_of_the_same_name() -> None:
    """Two tables that are called alike in two databases are two tables."""
    eu, us = (Table("users", MetaData(), Column("id", Integer, primary_key=True)) for _ in range(2))
    router = Databases(Database("eu", models=eu), Database("us", models=us)).router

    assert {"eu"} == router.candidates(select(eu))
    assert {"us"} == router.candidates(select(us))
    assert {"eu", "us"} == router.candidates(union(select(eu), select(us)))


def test_table_of_two_databases_and_one_of_a_third() -> None:
    """Nobody says which of the two is meant: the error names them, and the tables that they share."""
    shared, other = (Table(name, MetaData(), Column("id", Integer, primary_key=True)) for name in ("users", "lines"))
    regions = [Database(name, models=shared, shared_models=True) for name in ("eu", "us")]
    router = Databases(*regions, Database("log", models=other)).router
    found = router.candidates(select(shared, other))

    assert {"eu", "log", "us"} == found
    with pytest.raises(AmbiguousRoute, match=r"users: held by several databases, eu, us") as caught:
        router.choose(found, ANY)
    assert ("eu", "us") == caught.value.databases
    with pytest.raises(CrossDatabaseError, match="eu/us: users; log: lines"):
        router.choose(found, Scope("eu"))


def test_route_of_a_statement_of_one_database(router: Router) -> None:
    """It says the database and why."""
    expected = Route("shop", shard=None, role="primary", reason="owns all tables of the statement")

    assert expected == router.choose(frozenset({"shop"}), ANY)


def test_route_of_a_statement_that_names_its_database(router: Router) -> None:
    """Naming the owner is allowed."""
    assert "named, and it owns the tables" == router.choose(frozenset({"shop"}), ANY, "shop").reason


def test_route_to_a_database_that_lacks_the_tables(router: Router) -> None:
    """It is refused, and the error says where the tables are."""
    with pytest.raises(RoutingError, match="names database 'audit', and the tables of the statement belong to shop"):
        router.choose(frozenset({"shop"}), ANY, "audit")


def test_route_to_a_name_that_is_not_declared(router: Router) -> None:
    """It is unknown, never the default; what is declared is in the message and an attribute."""
    with pytest.raises(UnknownDatabase, match=r"'biling' is not declared\. Declared: shop, analytics, audit") as caught:
        router.choose(frozenset({"shop"}), ANY, "biling")

    assert ("biling", NAMES) == (caught.value.name, caught.value.declared)


def test_route_in_a_pinned_session(router: Router) -> None:
    """The pinned database serves what it owns and what has no tables; the rest is refused."""
    pinned = Scope("shop")

    assert "pinned, and it owns the tables" == router.choose(frozenset({"shop"}), pinned).reason
    assert Route("shop", reason="pinned; the statement has no tables") == router.choose(frozenset(), pinned)
    with pytest.raises(RoutingError, match="pinned to database 'shop', and the tables of the statement belong to"):
        router.choose(frozenset({"audit"}), pinned)


def test_route_to_another_database_than_the_pinned_one(router: Router) -> None:
    """A statement cannot leave the session's pin."""
    with pytest.raises(RoutingError, match="asks for database 'audit', and the session is pinned to 'shop'"):
        router.choose(frozenset(), Scope("shop"), "audit")


def test_route_without_tables_and_without_a_default(router: Router) -> None:
    """Nothing is guessed; the error says how to name a database."""
    with pytest.raises(AmbiguousRoute, match="Declared: shop, analytics, audit") as caught:
        router.choose(frozenset(), ANY)

    assert NAMES == caught.value.databases
    assert "bind_arguments={'database': name}" in str(caught.value)


def test_route_without_tables_and_with_a_default() -> None:
    """The default serves it."""
    router = shop_databases(dict.fromkeys(NAMES, "sqlite://"), default="audit").router

    assert Route("audit", reason="the default; the statement has no tables") == router.choose(frozenset(), ANY)


def test_route_of_models_that_several_databases_share(router: Router) -> None:
    """One of them must be named; the error lists them in order."""
    shared = frozenset({"shop", "analytics"})

    assert "shop" == router.choose(shared, ANY, "shop").database
    with pytest.raises(AmbiguousRoute, match=r"hold these models: analytics, shop\.") as caught:
        router.choose(shared, ANY)
    assert ("analytics", "shop") == caught.value.databases


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (CrossDatabaseError({}, ""), exc.InvalidRequestError),
        (AmbiguousRoute(""), exc.UnboundExecutionError),
        (UnknownDatabase("", ()), LookupError),
    ],
)
def test_errors_are_of_sqlalchemys_families(error: RoutingError, family: type[Exception]) -> None:
    """Code that catches SQLAlchemy's errors catches ours."""
    assert isinstance(error, RoutingError)
    assert isinstance(error, family)
