"""PostgreSQL: any transaction can be prepared when it ends. https://www.postgresql.org/docs/current/two-phase.html"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from manybase.gid import PREFIX, Gid
from manybase.refusals import failed_before
from manybase.wire import run, sqlstate

UNKNOWN, BUSY = "42704", "55000"
ON_SERVER = (
    "SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts "
    "WHERE starts_with(gid, '{prefix}:{app}:')"
)
LISTED = f"{ON_SERVER} AND database = current_database()"


def prepare(connection: Connection, gid: Gid) -> None:
    tag = run(connection, f"PREPARE TRANSACTION '{gid}'")
    if tag != "PREPARE TRANSACTION":
        raise failed_before(gid.participant)


def commit_prepared(connection: Connection, gid: Gid) -> bool:
    return end(connection, f"COMMIT PREPARED '{gid}'")


def roll_back_prepared(connection: Connection, gid: Gid) -> bool:
    return end(connection, f"ROLLBACK PREPARED '{gid}'")


def end(connection: Connection, sql: str) -> bool:
    """Whether it is over now: somebody else may be at it, or have been."""
    try:
        run(connection, sql)
    except DBAPIError as error:
        if sqlstate(error) == UNKNOWN:
            return True
        if sqlstate(error) == BUSY:
            return False
        raise
    return True


def prepared(connection: Connection, app: str) -> Iterator[tuple[Gid, float]]:
    """What is prepared in this database under a name of ours, and for how many seconds."""
    yield from found(connection, LISTED.format(prefix=PREFIX, app=app))


def prepared_on_server(connection: Connection, app: str) -> Iterator[tuple[Gid, float]]:
    """As ``prepared``, in all databases of this server."""
    yield from found(connection, ON_SERVER.format(prefix=PREFIX, app=app))


def found(connection: Connection, sql: str) -> Iterator[tuple[Gid, float]]:
    for text, age in connection.exec_driver_sql(sql).all():
        gid = Gid.parse(text)
        if gid is not None:
            yield gid, age


def is_primary(connection: Connection) -> bool:
    return not connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar()


def slots(connection: Connection) -> int:
    """How many transactions this server keeps prepared at a time; none: it does not prepare."""
    return int(connection.exec_driver_sql("SHOW max_prepared_transactions").scalar_one())
