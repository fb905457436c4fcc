"""role="replica": one replica as long as a transaction lasts, and nothing is written, whoever serves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from manybase import AsyncSession, ConfigurationError, Database, Databases, ReadOnlyError, Session
from tests.replicas.counters import (
    Base,
    Counter,
    Driver,
    Pair,
    both_kinds,
    declare,
    every_driver,
    replica,
    served,
    stale_reads,
    with_counter,
)
from tests.servers.replicated import Replicated, Streaming
from tests.sessions import Sync, run_async

REFUSED: dict[str, Callable[[Session], Any]] = {
    "flush": lambda s: (s.add(Counter(id=9)), s.flush()),
    "commit": lambda s: (s.add(Counter(id=9)), s.commit()),
    "ORM insert": lambda s: s.execute(insert(Counter).values(id=9)),
    "ORM update": lambda s: s.execute(update(Counter).values(value=9)),
    "ORM delete": lambda s: s.execute(delete(Counter)),
    "bulk": lambda s: s.bulk_save_objects([Counter(id=9)]),
    "DML in a CTE": lambda s: s.execute(select(insert(Counter).values(id=9).returning(Counter.id).cte("i"))),
    "DDL": lambda s: s.execute(CreateTable(Counter.__table__, if_not_exists=True)),  # type: ignore[arg-type]
    "FOR UPDATE": lambda s: s.scalars(select(Counter).with_for_update()).all(),
    "FOR SHARE in a subquery": lambda s: s.execute(select(select(Counter).with_for_update(read=True).subquery())),
    "get with a lock": lambda s: s.get(Counter, 1, with_for_update=True),
    "on its connection": lambda s: write_on(s.connection()),
    "on its connection, after a read": lambda s: (s.scalars(select(Counter)).all(), write_on(s.connection())),
    "in a hook": lambda s: write_in_hook(s),
}


def write_on(connection: Connection) -> None:
    connection.execute(insert(Counter.__table__).values(id=9))  # type: ignore[arg-type]


def write_in_hook(session: Session) -> None:
    event.listen(session, "after_begin", lambda *given: write_on(given[-1]), once=True)
    session.get(Counter, 1)


def in_file(folder: Path) -> Databases:
    return Databases(Database("shop", f"sqlite:///{folder / 'shop.db'}", models=Base))


@pytest.mark.parametrize("name", REFUSED)
def test_write(tmp_path: Path, name: str) -> None:
    """It is refused before it reaches a server, and the session goes on reading after a rollback."""

    def body(session: Session) -> list[Counter]:
        with replica(session) as reading:
            for _ in range(2):  # the second time, what is remembered of its shape is asked
                with pytest.raises(ReadOnlyError, match="only reads"):
                    REFUSED[name](reading)
                reading.rollback()
            reading.expunge_all()
            return [*reading.scalars(select(Counter))]

    assert [] == Sync().run(in_file(tmp_path), body)


def test_database_without_replica(tmp_path: Path) -> None:
    """The primary serves, read only all the same, and its connection writes again afterwards."""

    def body(session: Session) -> int:
        with replica(session) as reading, pytest.raises(DBAPIError, match="readonly"):
            reading.execute(text("INSERT INTO counters VALUES (9, 0)"))
        session.execute(text("INSERT INTO counters VALUES (1, 0)"))
        session.commit()
        with replica(session) as reading:
            return reading.scalars(select(func.count(Counter.id))).one()

    assert 1 == Sync().run(in_file(tmp_path), body)


def test_role_and_position_that_are_none(tmp_path: Path) -> None:
    """Refused where the session is made, and the error says what to pass."""
    databases = in_file(tmp_path)

    with pytest.raises(ConfigurationError, match="'primary', 'replica'"):
        Session(databases, role="reader")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Position\.parse"):
        Session(databases, role="replica", after="shop:wal.1.1.1")  # type: ignore[arg-type]


def test_route(tmp_path: Path) -> None:
    """It tells the role."""
    with Session(in_file(tmp_path), role="replica") as session:
        assert ("shop", "replica") == (session.route(Counter).database, session.route(select(Counter)).role)


@pytest.mark.server
@every_driver
def test_one_server_for_a_transaction(pair: Pair[Replicated], driver: Driver) -> None:
    """All statements of a transaction run in one connection, on the replica."""
    question = "SELECT pg_backend_pid()" if pair.backend == "postgresql" else "SELECT connection_id()"

    def body(session: Session) -> tuple[int, int | None]:
        with replica(session) as reading:
            found = {reading.scalar(text(question)) for _ in range(3)}
            reading.scalars(select(Counter)).all()
            found.add(reading.scalar(text(question)))
            port = reading.connection().engine.url.port
        return len(found), port

    assert (1, pair.url_on_replica.port) == driver.kind.run(declare(pair, driver), body)


@pytest.mark.server
@every_driver
@pytest.mark.parametrize("replicas", ["a replica", "no replica", "its primary as a replica"])
def test_function_that_writes(on_postgresql: Pair[Streaming], driver: Driver, replicas: str) -> None:
    """The server refuses it, also where the primary serves, or what is declared as a replica could write."""
    with on_postgresql.servers.primary.connect(on_postgresql.url.database) as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION writes() RETURNS int LANGUAGE sql "
            "AS 'INSERT INTO counters VALUES (99, 0) RETURNING id'"
        )
    on_postgresql.servers.wait()
    primary = on_postgresql.url.set(drivername=f"postgresql+{driver.names['postgresql']}")
    given = {"a replica": {}, "no replica": {"replicas": []}, "its primary as a replica": {"replicas": [primary]}}

    def body(session: Session) -> int:
        with replica(session) as reading, pytest.raises(DBAPIError, match="read-only transaction"):
            reading.execute(select(func.writes()))
        session.execute(select(func.writes()))  # the same connection, perhaps, in a session that may
        session.commit()
        return session.scalars(select(Counter.id)).one()

    assert 99 == driver.kind.run(declare(on_postgresql, driver, **given[replicas]), body)


@pytest.mark.server
@both_kinds
def test_engine_of_a_replica(pair: Pair[Replicated], driver: Driver) -> None:
    """Each of its transactions is read only, also on a server that could write, and from the second one on."""
    name = f"{pair.backend}+{driver.names[pair.backend]}"
    databases = declare(pair, driver, replicas=[pair.url.set(drivername=name)])
    question = "SHOW transaction_read_only" if pair.backend == "postgresql" else "SELECT @@session.tx_read_only"

    def body(session: Session) -> list[object]:
        engine: Any = databases.bind("shop/1", asyncio=session._asyncio)
        found = []
        for _ in range(2):
            with engine.connect() as connection:
                found.append(connection.exec_driver_sql(question).scalar())
        engine.dispose()
        return found

    assert driver.kind.run(databases, body) in (["on", "on"], [1, 1])


@pytest.mark.server
@both_kinds
@pytest.mark.parametrize("replicas", [{}, {"replicas": []}])
def test_text_that_writes(pair: Pair[Replicated], driver: Driver, replicas: dict[str, Any]) -> None:
    """The server refuses it."""

    def body(session: Session) -> None:
        with replica(session) as reading, pytest.raises(DBAPIError, match=r"(?i)read.only"):
            reading.execute(text("INSERT INTO counters VALUES (1, 1)"))

    driver.kind.run(declare(pair, driver, **replicas), body)


@pytest.mark.server
@both_kinds
def test_session_that_is_only_asked(pair: Pair[Replicated], driver: Driver) -> None:
    """Asking for the bind takes no connection that is not given back with close()."""
    databases = declare(pair, driver)

    def body(session: Session) -> int:
        reading = replica(session)
        reading.get_bind()
        reading.close()
        return databases.replicas["shop"].replicas[0].in_use

    assert 0 == driver.kind.run(databases, body)


@pytest.mark.server
def test_async_session(on_postgresql: Pair[Streaming]) -> None:
    """It reads from the replica."""
    databases = declare(on_postgresql)

    async def body(_: AsyncSession) -> list[Counter]:
        async with AsyncSession(databases, role="replica") as reading:
            assert reading.get_bind() is not None
            return [*await reading.scalars(select(Counter))]

    assert [] == run_async(databases, body)
    assert {"replica": 1} == served(databases)


@pytest.mark.server
@both_kinds
def test_repeatable_read(pair: Pair[Replicated], driver: Driver) -> None:
    """What a transaction sees is not older than the answer to whether the replica has it."""
    databases = declare(pair, driver, engine_options={"isolation_level": "REPEATABLE READ"})

    assert 0 == driver.kind.run(databases, lambda session: stale_reads(with_counter(session), 40))
    assert served(databases)["replica"] > 20
