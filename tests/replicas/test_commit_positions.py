"""The position of a commit, as each driver and each way to commit gives it."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL, insert, select, text
from sqlalchemy.exc import IntegrityError

from benchmarks.round_trips import Counting
from manybase import Database, Databases, Position, Session
from manybase.position import Gtids, OnPrimary, Point, Wal
from manybase.replication import postgresql
from manybase.replication.parting import nothing
from manybase.testing import fail_at
from tests.replicas.counters import (
    DRIVERS,
    Base,
    Counter,
    Driver,
    Note,
    OtherBase,
    Pair,
    declare,
    every_driver,
    read,
    with_counter,
    write,
)
from tests.servers.replicated import ByGtid, Replicated, Streaming

pytestmark = pytest.mark.server

KINDS: dict[str, type] = {"postgresql": Wal, "mysql": Gtids}


def point(session: Session, name: str = "shop") -> Point | None:
    return session.position.get(name)


@every_driver
def test_commit(pair: Pair[Replicated], driver: Driver) -> None:
    """It grows with each commit of the session, and a string of it is as good."""

    def body(session: Session) -> tuple[Position, Position]:
        with_counter(session)
        first = session.position
        write(session)
        return first, session.position

    first, second = driver.kind.run(declare(pair, driver), body)

    assert isinstance(first.get("shop"), KINDS[pair.backend])
    assert first.points["shop"].is_in(second.get("shop"))
    assert not second.points["shop"].is_in(first.get("shop"))
    assert second == Position.parse(str(second))


@every_driver
def test_transaction_that_writes_nothing(pair: Pair[Replicated], driver: Driver) -> None:
    """It has no position, and asks for none; nor does one that is rolled back."""

    def body(session: Session) -> Position:
        session.scalars(select(Counter)).all()
        session.commit()
        session.connection()
        session.commit()
        session.add(Counter(id=1))
        session.flush()
        session.rollback()
        return session.position

    assert not driver.kind.run(declare(pair, driver), body)


@every_driver
def test_database_without_replicas(pair: Pair[Replicated], driver: Driver) -> None:
    """It has none either."""
    databases = declare(pair, driver, replicas=[])

    assert not driver.kind.run(databases, lambda session: with_counter(session).position)


@every_driver
@pytest.mark.parametrize("options", [{"database": "shop"}, {"atomic": False}])
def test_pinned_session(pair: Pair[Replicated], driver: Driver, options: dict[str, Any]) -> None:
    """It has a position too."""
    found = driver.kind.run(declare(pair, driver), lambda session: point(with_counter(session)), **options)

    assert isinstance(found, KINDS[pair.backend])


def hear(databases: Databases) -> None:
    """The answer to the last ROLLBACK on the replica, for which no reader waits, has passed the counter."""
    with databases.engine("shop/1").connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.wait(nothing())


def test_round_trips(on_postgresql: Pair[Streaming]) -> None:
    """With psycopg, position and commit are one; so are the beginning of a read and the question to the replica."""
    with Counting(on_postgresql.url) as primary, Counting(on_postgresql.url_on_replica) as standby:
        databases = Databases(
            Database("shop", primary.url, models=Base, replicas=[standby.url]),
        )
        with Session(databases) as session:
            with_counter(session)
            read(session)
            hear(databases)
            session.execute(text("UPDATE counters SET value = value + 1"))
            before = primary.round_trips
            session.commit()
            commit = primary.round_trips - before
            on_postgresql.servers.wait()
            before = standby.round_trips
            assert 1 == read(session, after=session.position)
            hear(databases)
            asked = standby.round_trips - before
            before = standby.round_trips
            assert 1 == read(session, after=session.position)
            hear(databases)
            known = standby.round_trips - before
        databases.dispose()

    assert (1, 3, 3) == (commit, asked, known)  # BEGIN, SELECT, ROLLBACK


@every_driver
def test_round_trips_of_commit(on_mariadb: Pair[ByGtid], driver: Driver) -> None:
    """MariaDB tells the GTID in its answer to COMMIT: none is added. One driver does not show it, and asks, after a
    ping: its cursors do that.
    """

    def body(session: Session) -> tuple[int, Point | None, Any]:
        session.execute(text("INSERT INTO counters SELECT coalesce(max(id), 0) + 1, 0 FROM counters"))
        before = primary.round_trips
        session.commit()
        return primary.round_trips - before, point(session), session.scalar(text("SELECT @@last_gtid"))

    name = f"mysql+{driver.names['mysql']}"
    on_replica = on_mariadb.url_on_replica.set(drivername=name)
    with Counting(on_mariadb.url) as primary:
        url = primary.url.set(drivername=name)
        plain, with_replica = (
            Databases(Database("shop", url, models=Base, replicas=each)) for each in ([], [on_replica])
        )
        without, _, _ = driver.kind.run(plain, body)
        round_trips, position, last = driver.kind.run(with_replica, body)

    assert (2 if name == "mysql+mysqlconnector" else 0) == round_trips - without
    assert Gtids.parse(last) == position


@every_driver
def test_update_of_no_row(on_mariadb: Pair[ByGtid], driver: Driver) -> None:
    """No answer tells a GTID, and it is asked: one that was written before by this connection, or none."""
    databases = declare(on_mariadb, driver)

    def body(session: Session) -> tuple[Point | None, Point | None]:
        before = point(with_counter(session))
        session.execute(text("UPDATE counters SET value = 5 WHERE id = 99"))
        session.commit()
        return before, point(session)

    before, after = driver.kind.run(databases, body)

    assert before == after


def test_commit_that_fails(on_postgresql: Pair[Streaming]) -> None:
    """A constraint that is checked at COMMIT: its error, and no position."""
    with on_postgresql.servers.primary.connect(on_postgresql.url.database) as connection:
        connection.exec_driver_sql("ALTER TABLE counters ADD UNIQUE (value) DEFERRABLE INITIALLY DEFERRED")
    databases = declare(on_postgresql)
    with Session(databases) as session:
        session.add_all([Counter(id=1, value=1), Counter(id=2, value=1)])
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()

        assert not session.position
        assert [] == session.scalars(select(Counter)).all()
    databases.dispose()


def test_position_that_cannot_be_read(on_postgresql: Pair[Streaming], monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit has not failed, and reads stay on the primary."""
    monkeypatch.setattr(postgresql, "CURRENT", "SELECT 1 / 0")
    databases = declare(on_postgresql)
    with Session(databases) as session:
        with_counter(session)

        assert isinstance(point(session), OnPrimary)
        assert 1 == write(session) == read(session, after=session.position)
        assert 0 == databases.replicas["shop"].served["replica"]
    databases.dispose()


@pytest.fixture
def urls(
    on_postgresql: Pair[Streaming], on_mariadb: Pair[ByGtid], streaming: Streaming, create_database: Callable[..., URL]
) -> dict[str, tuple[URL, URL]]:
    """Databases and their replicas."""
    other = create_database(streaming.primary)
    return {
        "postgresql": (on_postgresql.url, on_postgresql.url_on_replica),
        "other": (other, streaming.url_on_replica(other)),
        "mysql": (on_mariadb.url, on_mariadb.url_on_replica),
    }


def two(urls: dict[str, tuple[URL, URL]], driver: Driver, first: str) -> Databases:
    def through(name: str) -> dict[str, Any]:
        url, on_replica = (
            each.set(drivername=f"{each.get_backend_name()}+{driver.names[each.get_backend_name()]}")
            for each in urls[name]
        )
        return {"url": url, "replicas": [on_replica]}

    return Databases(
        Database("shop", **through(first), models=Base), Database("notes", **through("other"), models=OtherBase)
    )


@every_driver
@pytest.mark.parametrize("first", ["postgresql", "mysql"])
def test_atomic_commit(urls: dict[str, tuple[URL, URL]], driver: Driver, first: str) -> None:
    """Over two databases it has the position of both, and reads after it see both."""

    def body(session: Session) -> tuple[list[type], list[int]]:
        session.add_all([Counter(id=1, value=5), Note(id=7)])
        session.commit()
        with Session(session.databases, role="replica", after=session.position, asyncio=session._asyncio) as reading:
            seen = [*reading.scalars(select(Counter.value)), *reading.scalars(select(Note.id))]
        return [type(point(session, name)) for name in ("shop", "notes")], seen

    assert ([KINDS[first], Wal], [5, 7]) == driver.kind.run(two(urls, driver, first), body)


@every_driver
def test_phase_two_that_is_pending(urls: dict[str, tuple[URL, URL]], driver: Driver) -> None:
    """Reads of that database stay on its primary."""

    def body(session: Session) -> list[type]:
        session.execute(insert(Counter).values(id=1, value=5))
        session.execute(insert(Note).values(id=7))
        with fail_at("finishing", "notes"):
            session.commit()
        return [type(point(session, name)) for name in ("shop", "notes")]

    databases = two(urls, driver, "postgresql")

    assert [Wal, OnPrimary] == driver.kind.run(databases, body)


@pytest.mark.parametrize("driver", DRIVERS[::3], ids=str)
@pytest.mark.parametrize("first", ["postgresql", "mysql"])
def test_select_over_both(urls: dict[str, tuple[URL, URL]], driver: Driver, first: str) -> None:
    """A replica session reads each part of it from a replica that has it."""

    def body(session: Session) -> list[tuple[int, int]]:
        session.add_all([Counter(id=7, value=5), Note(id=7)])
        session.commit()
        with Session(session.databases, role="replica", after=session.position, asyncio=session._asyncio) as reading:
            statement = select(Counter.value, Note.id).join(Note, Note.id == Counter.id)
            return [tuple(row) for row in reading.execute(statement)]

    databases = two(urls, driver, first)

    assert [(5, 7)] == driver.kind.run(databases, body)
    assert [1, 1] == [sum(databases.replicas[name].served.values()) for name in ("shop", "notes")]
