"""What tests do to servers while a session commits: end its connection, or kill the server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from manybase import Session
from tests.servers.server import Server

SLOW_COMMIT = (
    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION wait()",
)
COMMITTING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = :database AND state = 'active' AND query ~* '(^|; )commit;?$'"
)


def make_commits_slow(server: Server, database: str | None) -> None:
    """COMMIT takes a minute, because a trigger that runs there sleeps."""
    with server.connect(database) as connection:
        for statement in SLOW_COMMIT:
            connection.exec_driver_sql(statement)


@contextmanager
def while_committing(server: Server, database: str | None, act: Callable[[Connection, int], object]) -> Iterator[None]:
    """Do something to the server as soon as a COMMIT of this database is under way."""
    failures: list[BaseException] = []

    def watch() -> None:
        try:
            with server.connect() as connection:
                act(connection, committing(connection, database))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join(30)
    assert [] == failures


def committing(connection: Connection, database: str | None) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid = connection.scalar(text(COMMITTING), {"database": database})
        if pid is not None:
            return int(pid)
        time.sleep(0.01)
    raise TimeoutError("No COMMIT is under way.")


def terminate(connection: Connection, pid: int) -> None:
    connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def kill_connection(server: Server, session: Session, name: str) -> None:
    """The server ends the session's connection, as an administrator or a proxy does."""
    connection = session.connection(bind_arguments={"database": name})
    mine = {"postgresql": "SELECT pg_backend_pid()"}.get(connection.dialect.name, "SELECT connection_id()")
    pid = connection.exec_driver_sql(mine).scalar_one()
    with server.connect() as outside:
        outside.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)" if "pg" in mine else f"KILL {pid}")


def wait_for_commit(server: Server, database: str | None) -> None:
    with server.connect() as connection:
        committing(connection, database)
