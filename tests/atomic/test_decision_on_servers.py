"""What the decision table asks of a server stays in its own statements."""

from collections.abc import Callable

from sqlalchemy import URL, create_engine

from manybase import Database, Databases, Session, decision
from manybase.gid import new_transaction
from tests.ledgers import ledgers, rows, write
from tests.servers.server import Server

LOCKS = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@innodb_lock_wait_timeout"}


def test_connection_of_the_users_own(postgresql_url: URL, mariadb_url: URL) -> None:
    """It comes back with the settings that it had."""
    for url in (postgresql_url.set(drivername="postgresql+psycopg"), mariadb_url.set(drivername="mysql+pymysql")):
        engine = create_engine(url, pool_size=1, max_overflow=0)
        databases = Databases(Database("main", engine=engine))
        with engine.connect() as connection:
            before = connection.exec_driver_sql(LOCKS[engine.dialect.name]).scalar()
        with databases.aside("main").connect() as connection:
            decision.create(connection)
            assert "abort" == decision.arbitrate(connection, new_transaction())
        with engine.connect() as connection:
            assert before == connection.exec_driver_sql(LOCKS[engine.dialect.name]).scalar()
        engine.dispose()


def test_coordinator_that_does_not_wait_for_its_disk(
    postgresql: Server, create_database: Callable[[Server], URL]
) -> None:
    """With synchronous_commit off, a commit that carries a decision waits all the same; the setting stays."""
    urls = [create_database(postgresql).set(drivername="postgresql+psycopg") for _ in range(2)]
    databases = ledgers(dict(zip(("first", "second"), urls, strict=True)))
    databases.create_all()
    with Session(databases) as session:
        here = session.connection(bind_arguments={"database": "first"})
        here.exec_driver_sql("SET synchronous_commit = off")
        record = decision.commit("postgresql", new_transaction(), ["second"])
        with databases.aside("first").connect() as connection:
            decision.create(connection)
        here.exec_driver_sql(record)
        assert "on" == here.exec_driver_sql("SHOW synchronous_commit").scalar()
        session.rollback()
        write(session, "first", "second")
        session.commit()
        assert {"first": 1, "second": 1} == rows(session)
    databases.dispose()
