"""What a session is made of, and what it says about where things go."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.orm import aliased
from sqlalchemy.orm import exc as orm_exc

from manybase import AmbiguousRoute, ConfigurationError, Databases, RoutingError, Session
from tests.sessions import Run, SessionKind, statements
from tests.shop import Admin, Entry, Event, Order, User, in_files


@pytest.fixture
def with_default(tmp_path: Path) -> Databases:
    return in_files(tmp_path, default="audit")


def test_objects_of_three_databases(run: Run) -> None:
    """One session adds, commits and reads them all; each row is in its own database."""

    def body(session: Session) -> list[Any]:
        session.add_all([User(name="ann"), Event(kind="view"), Entry(what="opened")])
        session.commit()
        return [session.scalars(select(column)).one() for column in (User.name, Event.kind, Entry.what)]

    assert ["ann", "view", "opened"] == run(body)


def test_engine_instead_of_databases() -> None:
    """The error says how an engine is declared."""
    with pytest.raises(ConfigurationError, match=r"Database\(name, engine=engine\)"):
        Session(create_engine("sqlite://"))  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["bind", "binds"])
def test_bind_as_an_option(databases: Databases, option: str) -> None:
    """A session has no binds besides the declared databases."""
    engine = create_engine("sqlite://")
    value = engine if option == "bind" else {User: engine}

    with pytest.raises(ConfigurationError, match="takes the declared databases"):
        Session(databases, **{option: value})


def test_session_for_an_unknown_database(run: Run) -> None:
    """It is never made."""
    with pytest.raises(LookupError, match="'biling' is not declared"):
        run(lambda session: None, database="biling")


def test_misspelt_option(run: Run) -> None:
    """SQLAlchemy's own TypeError passes."""
    with pytest.raises(TypeError, match="autoflsh"):
        run(lambda session: None, autoflsh=False)


def test_route_of_statements(run: Run) -> None:
    """route() takes statements, tables, mapped classes and aliases, and runs nothing."""

    def body(session: Session) -> list[str]:
        asked = [select(User), Event, Entry.__table__, aliased(Order), Admin, User.name, func.count(Event.id)]
        with statements(session.databases) as ran:
            routes = [session.route(each).database for each in asked]
        assert [] == ran
        return routes

    assert ["shop", "analytics", "audit", "shop", "shop", "shop", "analytics"] == run(body)


def test_route_of_a_legacy_query(run: Run) -> None:
    """It goes where its statement goes."""

    def body(session: Session) -> list[str]:
        queries = session.query(User).join(User.events), session.query(User.name).join(User.orders)
        return [session.route(query).database for query in queries]

    assert ["analytics + shop", "shop"] == run(body)


def test_route_of_from_statement(run: Run) -> None:
    """The text says nothing, its entity does."""

    def body(session: Session) -> str:
        return session.route(select(Event).from_statement(text("SELECT * FROM events"))).database

    assert "analytics" == run(body)


def test_route_says_why(run: Run) -> None:
    """The reason is one of the rules."""

    def body(session: Session) -> list[str]:
        named = select(User).execution_options(database="shop")
        return [session.route(each).reason for each in (select(User), named, text("SELECT 1"))]

    with pytest.raises(AmbiguousRoute):
        run(body)
    assert [
        "pinned, and it owns the tables",
        "named, and it owns the tables",
        "pinned; the statement has no tables",
    ] == run(body, database="shop")


def test_route_of_text_with_a_default(session_kind: SessionKind, with_default: Databases) -> None:
    """It is the default, unless another is named."""

    def body(session: Session) -> list[str]:
        one = text("SELECT 1")
        return [session.route(one).database, session.route(one, database="shop").database]

    assert ["audit", "shop"] == session_kind.run(with_default, body)


def test_route_of_a_class_that_is_not_mapped(run: Run) -> None:
    """SQLAlchemy's own error."""
    with pytest.raises(orm_exc.UnmappedClassError):
        run(lambda session: session.route(Path))


def test_get_bind_without_arguments(session_kind: SessionKind, with_default: Databases) -> None:
    """It is the engine of the default database, as for code that knows one database only."""

    def body(session: Session) -> list[Any]:
        return [session.get_bind(), session.bind, with_default.bind("audit", asyncio=session_kind.asyncio)]

    default, bind, expected = session_kind.run(with_default, body)

    assert expected is default
    assert expected is bind


def test_get_bind_without_arguments_and_without_a_default(run: Run) -> None:
    """There is none to give: get_bind() says so, and the attribute is None."""

    def body(session: Session) -> object:
        with pytest.raises(AmbiguousRoute):
            session.get_bind()
        return session.bind

    assert run(body) is None


def test_get_bind_of_a_pinned_session(run: Run, databases: Databases, session_kind: SessionKind) -> None:
    """It is the engine of its database."""

    def body(session: Session) -> bool:
        return session.get_bind() is session.bind is databases.bind("shop", asyncio=session_kind.asyncio)

    assert run(body, database="shop")


def test_get_bind_of_a_class_or_a_statement(run: Run, databases: Databases) -> None:
    """It is the engine of their database."""

    def body(session: Session) -> list[str | None]:
        binds = [session.get_bind(User), session.get_bind(Event.__mapper__), session.get_bind(clause=select(Entry))]
        return [databases.name_of(bind) for bind in binds if isinstance(bind, Engine)]

    assert ["shop", "analytics", "audit"] == run(body)


def test_connection_without_a_database(run: Run) -> None:
    """connection() belongs to no table: without a default it must be told."""

    def body(session: Session) -> list[str | None]:
        with pytest.raises(AmbiguousRoute):
            session.connection()
        connections = [session.connection(bind_arguments={"database": name}) for name in ("audit", "shop")]
        return [session.databases.name_of(connection.engine) for connection in connections]

    assert ["audit", "shop"] == run(body)


def test_connection_of_a_class(run: Run) -> None:
    """It is the one on which the session reads and writes that class."""

    def body(session: Session) -> bool:
        session.add(Event(kind="view"))
        session.flush()
        connection = session.connection(bind_arguments={"mapper": Event})
        return 1 == connection.scalar(select(func.count()).select_from(Event.__table__))

    assert run(body)


def test_closed_session(run: Run) -> None:
    """Without close_resets_only it works again after close(), as SQLAlchemy's does."""

    def body(session: Session) -> list[int]:
        session.add(User(name="ann"))
        session.commit()
        session.close()
        return [session.scalar(select(func.count(User.id))) or 0]

    assert [1] == run(body)


def test_closed_session_that_must_not_reopen(run: Run) -> None:
    """close_resets_only=False is SQLAlchemy's way to forbid it, and works here."""

    def body(session: Session) -> None:
        session.close()
        with pytest.raises(Exception, match="permanently closed"):
            session.scalar(select(User.id))

    run(body, close_resets_only=False)


def test_database_that_is_not_the_owner(run: Run) -> None:
    """Naming another database than the owner of the tables is refused before any SQL."""

    def body(session: Session) -> None:
        with statements(session.databases) as ran, pytest.raises(RoutingError, match="belong to shop"):
            session.execute(select(User), bind_arguments={"database": "audit"})
        assert [] == ran

    run(body)
