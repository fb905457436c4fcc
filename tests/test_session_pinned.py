"""Sessions that are pinned to one database, and models that several databases hold."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, delete, func, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from manybase import AmbiguousRoute, ConfigurationError, CrossDatabaseError, Database, Databases, RoutingError, Session
from tests.sessions import Run, SessionKind, another, statements, where
from tests.shop import FAST, Event, User, ann


def test_its_own_models(run: Run) -> None:
    """It reads and writes what its database owns."""

    def body(session: Session) -> list[str]:
        session.add(User(name="ann"))
        session.commit()
        return list(session.scalars(select(User.name)))

    assert ["ann"] == run(body, database="shop")


REFUSED: dict[str, Callable[[Session], Any]] = {
    "select": lambda session: session.scalars(select(Event)),
    "core": lambda session: session.execute(select(Event.__table__)),
    "get": lambda session: session.get(Event, 1),
    "update": lambda session: session.execute(update(Event).values(kind="x")),
    "query": lambda session: session.query(Event).count(),
    "connection": lambda session: session.connection(bind_arguments={"mapper": Event}),
    "bulk": lambda session: session.bulk_insert_mappings(Event, [{"kind": "x"}]),
    "bulk insert": lambda session: session.execute(insert(Event), [{"kind": "x"}]),
    "named": lambda session: session.execute(text("SELECT 1"), bind_arguments={"database": "analytics"}),
    "named in options": lambda session: session.execute(text("SELECT 1"), execution_options={"database": "audit"}),
}


@pytest.mark.parametrize("call", REFUSED)
def test_models_of_another_database(run: Run, call: str) -> None:
    """They are refused before any SQL runs."""

    def body(session: Session) -> None:
        with statements(session.databases) as ran, pytest.raises(RoutingError, match="pinned to"):
            REFUSED[call](session)
        assert [] == ran

    run(body, database="shop")


def test_object_of_another_database(run: Run) -> None:
    """The flush refuses it, and nothing of the transaction is written."""

    def body(session: Session) -> int | None:
        session.add_all([User(name="ann"), Event(kind="view")])
        with pytest.raises(RoutingError, match=r"pinned to database 'shop'.*belong to analytics"):
            session.commit()
        session.rollback()
        return session.scalar(select(func.count(User.id)))

    assert 0 == run(body, database="shop")


def test_relationship_into_another_database(run: Run) -> None:
    """A lazy load leaves the pinned database, so it is refused too."""

    def body(session: Session) -> list[str]:
        with another(session) as everywhere:
            everywhere.add(ann())
            everywhere.commit()
        user = session.get_one(User, 1)
        with pytest.raises(RoutingError):
            _ = user.events
        return [user.name, *map(str, (order.total for order in user.orders))]

    assert ["ann", "10", "20"] == run(body, database="shop")


def test_text(run: Run) -> None:
    """It goes to the pinned database; naming that one is allowed."""

    def body(session: Session) -> list[Any]:
        with statements(session.databases) as ran:
            session.execute(text("SELECT 1"))
            session.execute(text("SELECT 1"), bind_arguments={"database": "audit"})
            session.connection().execute(text("SELECT 1"))
        return where(ran)

    assert ["audit"] * 3 == run(body, database="audit")


class Regional(DeclarativeBase):
    metadata = MetaData()


class Home(DeclarativeBase):
    registry = Regional.registry
    metadata = MetaData()


class Customer(Regional):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    visits: Mapped[list["Visit"]] = relationship(lazy="joined")


class Visit(Regional):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))


class Country(Home):
    """Of one region only."""

    __tablename__ = "countries"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def regions(tmp_path: Any) -> Databases:
    eu, us = (f"sqlite:///{tmp_path}/{name}.db" for name in ("eu", "us"))
    return Databases(
        Database("eu", eu, models=[Regional, Home], shared_models=True),
        Database("us", us, models=Regional, shared_models=True),
        engine_options=FAST,
    )


def test_shared_model_in_a_session_over_all(session_kind: SessionKind, regions: Databases) -> None:
    """Nothing is guessed: reading and writing ask which one."""

    def body(session: Session) -> None:
        with pytest.raises(AmbiguousRoute, match="eu, us") as caught:
            session.scalars(select(Customer)).all()
        assert ("eu", "us") == caught.value.databases
        session.add(Customer(name="ann"))
        with pytest.raises(AmbiguousRoute):
            session.flush()

    session_kind.run(regions, body)


def test_shared_model_in_pinned_sessions(session_kind: SessionKind, regions: Databases) -> None:
    """Each session has its own rows of the same class, with relationships configured to join."""

    def body(session: Session) -> list[Any]:
        session.add(Customer(id=1, name="ann", visits=[Visit()]))
        session.commit()
        with another(session, database="us") as us:
            us.add(Customer(id=1, name="bob"))
            us.commit()
            with statements(regions) as ran:
                found = us.scalars(select(Customer)).unique().one()
        here = session.get_one(Customer, 1)
        assert "JOIN visits" in ran[0].sql
        return [here.name, len(here.visits), found.name, len(found.visits), *where(ran)]

    assert ["ann", 1, "bob", 0, "us"] == session_kind.run(regions, body, database="eu")


def test_shared_model_with_the_database_named(session_kind: SessionKind, regions: Databases) -> None:
    """A statement in a session over all may say which one, in every place."""

    def body(session: Session) -> list[Any]:
        named: dict[str, Any] = {"bind_arguments": {"database": "us"}}
        session.execute(insert(Customer.__table__).values(id=1, name="bob"), **named)
        statement = select(Customer.name)
        return [
            session.scalar(statement, **named),
            session.scalar(statement, execution_options={"database": "us"}),
            session.scalar(statement.execution_options(database="us")),
            session.scalar(statement.execution_options(database="us"), execution_options={"database": "eu"}),
        ]

    assert ["bob", "bob", "bob", None] == session_kind.run(regions, body)


def test_write_to_a_shared_model_with_the_database_named(session_kind: SessionKind, regions: Databases) -> None:
    """INSERT, UPDATE and DELETE of a class go to the database that is named.

    Except SQLAlchemy's bulk INSERT and UPDATE of a class: they drop the bind arguments, so a pinned session does it.
    """
    us: dict[str, Any] = {"bind_arguments": {"database": "us"}}

    def body(session: Session) -> list[Any]:
        for number in (1, 2):
            session.execute(insert(Customer).values(id=number, name="ann"), **us)
        session.execute(update(Customer).where(Customer.id == 2).values(name="bob"), **us)
        session.execute(delete(Customer).where(Customer.id == 1), **us)
        with pytest.raises(AmbiguousRoute):
            session.execute(insert(Customer), [{"id": 3, "name": "cid"}, {"id": 4, "name": "dan"}], **us)
        return list(session.scalars(select(Customer.name).order_by(Customer.id), **us))

    assert ["bob"] == session_kind.run(regions, body)


def test_shared_table_with_one_of_a_single_owner(session_kind: SessionKind, regions: Databases) -> None:
    """Together they can only mean the database that holds both."""

    def body(session: Session) -> str:
        return session.route(select(Customer.id, Country.id)).database

    assert "eu" == session_kind.run(regions, body)


def test_shared_table_with_one_of_another_database(session_kind: SessionKind, regions: Databases) -> None:
    """Where no database holds both, nobody can tell which of them is meant; no SQL runs, pinned or not."""

    def body(session: Session) -> None:
        statement = select(Customer.id, lines.c.id)
        pinned = another(session, database="eu")
        with statements(session.databases) as ran:
            with pytest.raises(AmbiguousRoute, match="customers: held by several databases, eu, us") as caught:
                session.execute(statement)
            with pytest.raises(AmbiguousRoute):
                session.route(statement)
            with pytest.raises(CrossDatabaseError, match="eu/us: customers; log: lines"):
                pinned.execute(statement)
        assert ("eu", "us") == caught.value.databases
        assert [] == ran

    lines = Table("lines", MetaData(), Column("id", Integer, primary_key=True))
    third = Database("log", "sqlite://", models=lines)
    session_kind.run(Databases(*regions, third, engine_options=FAST), body)


def test_model_that_two_databases_claim_without_saying_so(regions: Databases) -> None:
    """It is an error of the declaration, at the first session at the latest."""
    declared = Databases(Database("eu", "sqlite://", models=Regional), Database("us", "sqlite://", models=Regional))

    with pytest.raises(ConfigurationError, match="claimed by eu and us"):
        Session(declared)
