"""Several SQLite files in one transaction: one connection, one COMMIT."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import selectinload
from sqlalchemy.schema import CreateTable, DropTable

from manybase import AsyncSession, AtomicityError, Database, Databases, Session
from manybase.attaching import alias_of
from manybase.sharing import SCHEMAS
from manybase.testing import rollback
from tests import ledgers
from tests.sessions import Run, SessionKind, another, committed, run_async, statements, where
from tests.shop import Click, Entry, Event, Order, User, ann


def schemas(connection: Connection) -> list[str]:
    return [name for _, name, _ in connection.exec_driver_sql("PRAGMA database_list")]


def assert_nothing_attached(session: Session) -> None:
    """Whatever the pools hold, a fresh checkout knows one file."""
    for name in session.databases.names:
        bind: Any = session.databases.bind(name, asyncio=session._asyncio)
        with bind.connect() as connection:
            assert ["main"] == [schema for schema in schemas(connection) if schema != "temp"]
            assert SCHEMAS not in connection.connection.info


def counts(session: Session) -> list[int]:
    tables = {"shop": "users", "analytics": "events", "audit": "entries"}
    return [committed(session, database, table) for database, table in tables.items()]


@contextmanager
def commits(databases: Databases) -> Iterator[list[str | None]]:
    """Which files' DBAPI connections were asked to commit."""
    seen: list[str | None] = []

    def note(connection: Connection) -> None:
        seen.append(databases.name_of(connection.engine))

    event.listen(Engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", note)


def groups(session: Session) -> dict[str, list[str]]:
    assert session._files is not None
    return session._files.groups


def test_three_files_in_one_transaction(run: Run) -> None:
    """They share the first one's connection, and are committed together; afterwards nothing is attached."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        session.add(Entry(what="hello"))
        session.flush()
        assert {"shop": ["shop", "analytics", "audit"]} == groups(session)
        assert [0, 0, 0] == counts(session)
        session.commit()
        assert {} == groups(session)
        assert_nothing_attached(session)
        return counts(session)

    assert [1, 2, 1] == run(body)


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_rollback_undoes_all_files(run: Run, end: str) -> None:
    """So does closing the session."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        getattr(session, end)()
        assert_nothing_attached(session)
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_transactions_one_after_the_other(run: Run) -> None:
    """Each begins anew: another file may come first."""

    def body(session: Session) -> list[Any]:
        seen: list[Any] = []
        for statements_ in ([insert(Event), insert(User)], [insert(User), insert(Entry), insert(Event)]):
            for statement in statements_:
                values = {"what": "x"} if statement.table.name == "entries" else {"kind": "x"}
                values = {"name": f"n{len(seen)}"} if statement.table.name == "users" else values
                session.execute(statement, values)
            seen.append(groups(session))
            session.commit()
        return [*seen, counts(session)]

    first = {"analytics": ["analytics", "shop"]}
    assert [first, {"shop": ["shop", "audit", "analytics"]}, [2, 2, 1]] == run(body)


def test_uncommitted_rows_are_seen(run: Run) -> None:
    """By the same transaction, through ORM, relationships and Core; lazy and selectin loads cross over."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.flush()
        session.expire_all()
        user = session.scalars(select(User).options(selectinload(User.events).selectinload(Event.clicks))).one()
        session.expire(user, ["orders"])
        clicks = [len(each.clicks) for each in user.events]
        lazily = session.get_one(Event, 2).user
        core = session.execute(select(func.count()).select_from(Click.__table__)).scalar_one()
        return [[order.total for order in user.orders], clicks, lazily is user, core]

    assert [[10, 20], [1, 0], True, 1] == run(body)


def test_statements_of_every_kind(run: Run) -> None:
    """Generated keys, RETURNING, bulk and Core statements, correlated and joined ones, in the attached file."""

    def body(session: Session) -> list[Any]:
        session.add(User(name="ann"))
        session.flush()
        events = [Event(kind="a"), Event(kind="b")]
        session.add_all(events)
        session.flush()
        returned = session.scalars(insert(Event).returning(Event.id), [{"kind": "c"}, {"kind": "d"}]).all()
        session.bulk_save_objects([Event(kind="e")])
        session.execute(insert(Event.__table__), [{"kind": "f"}, {"kind": "g"}])
        session.execute(insert(Click).values(event_id=1))
        session.execute(update(Event).where(Event.kind == "a").values(kind="A"))
        session.execute(update(Event.__table__).values(kind=Event.kind + "!").where(Event.id == 2))
        with_clicks = select(Click.event_id).where(Click.event_id == Event.id).exists()
        session.execute(update(Event).where(with_clicks).values(user_id=7))
        session.execute(delete(Event).where(Event.kind.in_(["c", "d"])))
        joined = select(Event.kind, Event.user_id).join(Event.clicks)
        session.commit()
        session.scalar(select(func.count(User.id)))
        kinds = session.scalars(select(Event.kind).order_by(Event.id)).all()
        assert {"shop": ["shop", "analytics"]} == groups(session)
        return [[each.id for each in events], returned, kinds, session.execute(joined).all()]

    assert [[1, 2], [3, 4], ["A", "b!", "e", "f", "g"], [("A", 7)]] == run(body)


def test_tables_made_in_the_transaction(run: Run) -> None:
    """DDL goes to the right file, through session.connection() or as a statement."""

    def body(session: Session) -> list[Any]:
        session.scalars(select(User)).all()
        session.scalars(select(Event)).all()
        connection = session.connection(bind_arguments={"database": "analytics"})
        assert "analytics" == session.databases.name_of(connection.engine)
        Click.__table__.drop(connection)  # type: ignore[attr-defined]
        Event.metadata.create_all(connection)
        session.execute(DropTable(Click.__table__))  # type: ignore[arg-type]
        session.execute(CreateTable(Click.__table__))  # type: ignore[arg-type]
        session.add(Event(kind="x", clicks=[Click()]))
        session.commit()
        return [committed(session, "analytics", "clicks"), committed(session, "analytics", "events")]

    assert [1, 1] == run(body)


@pytest.mark.parametrize("fails", ["first", "second", "third"])
def test_constraint_checked_at_commit(session_kind: SessionKind, tmp_path: Path, fails: str) -> None:
    """The driver's own error is raised, and nothing is committed anywhere, whichever file refuses."""

    def body(session: Session) -> list[Any]:
        ledgers.write(session, *ledgers.NAMES)
        ledgers.write_what_cannot_be_committed(session, fails)
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        assert_nothing_attached(session)
        refused = ledgers.rows(session)
        ledgers.write(session, *ledgers.NAMES)
        session.commit()
        return [refused, ledgers.rows(session)]

    zero, one = dict.fromkeys(ledgers.NAMES, 0), dict.fromkeys(ledgers.NAMES, 1)
    assert [zero, one] == session_kind.run(ledgers.in_files(tmp_path), body)


def test_atomic_off(run: Run) -> None:
    """Each file has a connection of its own, as has a pinned session."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.flush()
        assert session._files is None
        assert 2 == len(session._enlisted.connections)
        session.commit()
        return counts(session)

    assert [1, 2, 0] == run(body, atomic=False)


def test_rollback_of_a_test(databases: Databases) -> None:
    """Inside testing.rollback nothing is attached: all is one outer transaction per database there."""
    databases.create_all()
    with rollback(databases), Session(databases) as session:
        session.add(ann())
        session.flush()
        assert {"shop": ["shop"]} == groups(session)
        session.commit()
    databases.dispose()


def test_connection_of_its_own_for_text(run: Run) -> None:
    """What names no table goes to the file's own connection; it stays there, so a commit of both is refused."""

    def body(session: Session) -> list[Any]:
        session.add(User(name="ann"))
        session.flush()
        session.execute(text("SELECT count(*) FROM events"), bind_arguments={"database": "analytics"})
        session.add(Event(kind="x"))
        session.flush()
        audit = session.connection(bind_arguments={"database": "audit"})
        session.add(Entry(what="x"))
        session.flush()
        assert "analytics" not in schemas(audit)
        assert {"shop": ["shop"]} == groups(session)
        with pytest.raises(AtomicityError, match="before any text"):
            session.commit()
        session.rollback()
        return counts(session)

    assert [0, 0, 0] == run(body)


def test_engine_of_an_attached_file_in_bind_arguments(run: Run) -> None:
    """It is answered with the attached connection: two to one file would lock each other out."""

    def body(session: Session) -> Any:
        session.add_all([User(name="ann"), Event(kind="x")])
        session.flush()
        engine = session.databases.bind("analytics", asyncio=session._asyncio)
        connection = session.connection(bind_arguments={"bind": engine})
        assert connection is session.connection(bind_arguments={"bind": connection})
        assert connection not in session._foreign
        session.commit()
        return counts(session)

    assert [1, 1, 0] == run(body)


def test_listeners_of_the_files_own_engine(run: Run) -> None:
    """They hear its statements, its begin and its commit; a BEGIN they send is not sent twice."""
    heard: list[str] = []

    def body(session: Session) -> list[str]:
        engine = session.databases.bind("analytics", asyncio=session._asyncio)
        event.listen(engine, "before_cursor_execute", lambda _c, _d, sql, *_: heard.append(sql.split()[0]))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        event.listen(engine, "commit", lambda _: heard.append("COMMIT"))
        session.add_all([User(name="ann"), Event(kind="x")])
        session.commit()
        session.scalars(select(Event)).all()
        return heard

    with_begin = ["BEGIN", "INSERT", "COMMIT", "BEGIN", "SELECT"]
    assert with_begin == run(body)


def test_names_that_sqlite_takes_for_others(session_kind: SessionKind, tmp_path: Path) -> None:
    """Databases may be called as they like, `main` and `temp` too, and alike but for case."""
    names = ["main", "temp", "shop", "Shop", "a-b"]
    tables = {name: Table("things", MetaData(), Column("id", Integer, primary_key=True)) for name in names}
    files = [
        Database(name, f"sqlite:///{tmp_path}/{number}.db", models=tables[name]) for number, name in enumerate(names)
    ]

    def body(session: Session) -> list[Any]:
        for number, name in enumerate(["shop", *(each for each in names if each != "shop")]):
            session.execute(insert(tables[name]), [{"id": each} for each in range(number + 1)])
        assert session._files is not None
        aliases = session._files.schemas
        session.commit()
        return [aliases, [committed(session, name, "things") for name in names]]

    aliases = {"shop": "main", "main": "main_", "temp": "temp_", "Shop": "Shop", "a-b": "a-b"}
    assert [aliases, [2, 3, 1, 4, 5]] == session_kind.run(Databases(*files), body)
    assert {"Shop", "shop_"} == {alias_of(name, names) for name in ("shop", "Shop")}


def test_more_files_than_sqlite_attaches(session_kind: SessionKind, tmp_path: Path) -> None:
    """Ten at most: one more has a connection of its own, and cannot commit together with them."""
    names = [f"d{number:02}" for number in range(12)]
    tables = {name: Table("things", MetaData(), Column("id", Integer, primary_key=True)) for name in names}
    declared = Databases(*(Database(name, f"sqlite:///{tmp_path}/{name}.db", models=tables[name]) for name in names))

    def body(session: Session) -> list[Any]:
        for name in names * 2:
            session.execute(insert(tables[name]).values())
        together = groups(session)
        assert ["d00", "d11"] == [*session._enlisted.connections]
        with pytest.raises(AtomicityError, match="eleven files at most"):
            session.commit()
        session.rollback()
        assert_nothing_attached(session)
        for name in names[:11]:
            session.execute(insert(tables[name]).values())
        session.commit()
        return [together, [committed(session, name, "things") for name in names]]

    assert [{"d00": names[:11]}, [1] * 11 + [0]] == session_kind.run(declared, body)


def test_directory_that_is_missing(session_kind: SessionKind, tmp_path: Path) -> None:
    """SQLAlchemy's OperationalError, as from a connection of its own; the transaction goes on without that file."""
    declared = ledgers.ledgers(
        {
            "first": f"sqlite:///{tmp_path}/a.db",
            "second": f"sqlite:///{tmp_path}/b.db",
            "third": "sqlite:///no/where.db",
        }
    )

    def body(session: Session) -> list[Any]:
        session.databases.create_all("first", "second")
        ledgers.write(session, "first")
        for _ in range(2):
            with pytest.raises(OperationalError, match="unable to open database"):
                session.execute(select(ledgers.ENTRIES["third"]))
        ledgers.write(session, "second")
        session.commit()
        return [committed(session, name, "entries") for name in ("first", "second")]

    class Lazily(Databases):
        def create_all(self, *names: str) -> None:
            if names:
                super().create_all(*names)

    with Session(declared) as session:
        assert [1, 1] == body(session)
    declared.dispose()


def test_options_that_only_one_connection_can_have(run: Run) -> None:
    """Where the transaction was begun with options of its own, each file has its own connection."""

    def body(session: Session) -> list[Any]:
        options = {"isolation_level": "SERIALIZABLE"}
        session.connection(bind_arguments={"mapper": User}, execution_options=options)
        session.add_all([User(name="ann"), Event(kind="x")])
        session.flush()
        return [groups(session)]

    assert [{"shop": ["shop"]}] == run(body)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "sqlite://"},
        {"url": "sqlite:///file:{0}/x.db?uri=true"},
        {"url": "sqlite:///{0}/x.db?detect_types=1"},
        {"url": "sqlite:///{0}/x.db", "engine_options": {"isolation_level": "AUTOCOMMIT"}},
        {"url": "sqlite:///{0}/x.db", "engine_options": {"connect_args": {"factory": None}}},
        {"url": "postgresql://localhost/x"},
        {},
    ],
)
def test_databases_that_cannot_be_attached(tmp_path: Path, options: dict[str, Any]) -> None:
    """Memory, URIs, connections that are not like others, other servers; alone, a file has nothing to join."""
    if "url" in options:
        options = {**options, "url": options["url"].format(tmp_path)}
    file = Database("file", f"sqlite:///{tmp_path}/file.db")

    assert frozenset() == Databases(file, Database("other", **options)).files
    assert frozenset({"file", "two"}) == Databases(file, Database("two", f"sqlite:///{tmp_path}/two.db")).files


def test_result_that_nobody_read_to_its_end(run: Run) -> None:
    """Its file cannot be detached: the connection is replaced before anyone else gets it."""

    def body(session: Session) -> list[Any]:
        session.add_all([User(name="ann"), *(Event(kind="x") for _ in range(9))])
        session.flush()
        connection = session.connection(bind_arguments={"mapper": Event})
        open_result = connection.execution_options(stream_results=True).execute(select(Event.__table__))
        open_result.fetchone()
        session.commit()
        assert_nothing_attached(session)
        open_result.close()
        return counts(session)

    assert [1, 9, 0] == run(body)


def test_session_that_lost_its_connection(run: Run) -> None:
    """Session.invalidate() drops the shared connection once; the next transaction has a new one."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        session.invalidate()
        session.add(Entry(what="x"))
        session.commit()
        assert_nothing_attached(session)
        return counts(session)

    assert [0, 0, 1] == run(body)


@pytest.mark.parametrize("first", [True, False])
def test_one_of_both_connections_invalidated(run: Run, first: bool) -> None:
    """Both are: until the rollback, nothing runs on either, and nothing is committed."""

    def body(session: Session) -> list[int]:
        session.add(ann())
        session.flush()
        session.connection(bind_arguments={"mapper": User if first else Event}).invalidate()
        for entity in (Event, User):
            with pytest.raises(Exception, match="invalid transaction"):
                session.scalars(select(entity).execution_options(populate_existing=True)).all()
        session.rollback()
        assert_nothing_attached(session)
        return counts(session)

    assert [0, 0, 0] == run(body)


@pytest.mark.parametrize("at", range(12))
def test_cancelled_task(databases: Databases, at: int) -> None:
    """Wherever it is cancelled, its connection goes back clean or not at all."""

    async def main() -> list[int]:
        await databases.acreate_all()

        async def work() -> None:
            async with AsyncSession(databases) as session:
                session.add(ann())
                await session.flush()
                await session.execute(select(Entry))
                await session.execute(update(Event).values(kind="cancelled"))

        task = asyncio.create_task(work())
        for _ in range(at * 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with AsyncSession(databases) as session:
            await session.run_sync(assert_nothing_attached)
            found = await session.run_sync(counts)
        await databases.adispose()
        return found

    assert [0, 0, 0] == asyncio.run(main())


def test_get_bind_of_an_async_session(databases: Databases) -> None:
    """It informs, and attaches nothing."""

    async def body(session: AsyncSession) -> None:
        session.add(User(name="ann"))
        await session.flush()
        bind = session.sync_session.get_bind(Event)
        assert bind is databases.bind("analytics", asyncio=True)
        assert bind is session.get_bind(Event)
        assert {"shop": ["shop"]} == groups(session.sync_session)

    run_async(databases, body)


def test_where_statements_are_seen(run: Run) -> None:
    """A listener for all engines hears each statement once, and knows its database; ATTACH and DETACH it does not."""

    def body(session: Session) -> Any:
        with statements(session.databases) as ran, commits(session.databases) as committed_:
            session.add_all([User(name="ann"), Event(kind="x")])
            session.commit()
        return where(ran), sorted(map(str, committed_))

    assert (["shop", "analytics"], ["analytics", "shop"]) == (
        lambda found: (sorted(found[0], key=str)[::-1], found[1])
    )(run(body))


def test_table_missing_in_the_first_file(run: Run) -> None:
    """It is missing: SQLite does not find that of an attached file instead."""

    def body(session: Session) -> int:
        session.connection(bind_arguments={"database": "shop"}).exec_driver_sql("ALTER TABLE orders RENAME TO gone")
        session.scalars(select(Event)).all()
        analytics = session.connection(bind_arguments={"database": "analytics"})
        analytics.exec_driver_sql("CREATE TABLE analytics.orders (id INTEGER, user_id INTEGER, total INTEGER)")
        for statement in (select(Order), insert(Order).values(user_id=1, total=1)):
            with pytest.raises(OperationalError, match=r"no such table: main\.orders"):
                session.execute(statement)
        session.commit()
        return committed(session, "analytics", "orders")

    assert 0 == run(body)


def test_another_session_meanwhile(run: Run) -> None:
    """It has a connection of its own, and sees what is committed."""

    def body(session: Session) -> list[Any]:
        session.add_all([User(name="ann"), Event(kind="x")])
        session.commit()
        session.scalars(select(Event)).all()
        session.scalars(select(User)).all()
        with another(session) as other:
            found = [other.scalars(select(User.name)).all(), other.scalars(select(Event.kind)).all()]
            assert {"shop": ["shop", "analytics"]} == groups(other)
        assert {"analytics": ["analytics", "shop"]} == groups(session)
        return found

    assert [["ann"], ["x"]] == run(body)
