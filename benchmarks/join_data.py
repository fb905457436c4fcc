"""The data of the joins: users and their events, 20 to a user, as `benchmarks.join` measures them.

One user in twenty has no event, one event in a thousand no user, and one in two hundred no amount; names are NULL, or
with letters that are not ASCII, or with a quote. The same numbers always give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import CHAR, URL, DateTime, Engine, Numeric, String, create_engine
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Moment = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
EVENTS_PER_USER = 20


class UsersBase(DeclarativeBase): ...


class EventsBase(DeclarativeBase): ...


class User(UsersBase):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(String(60), unique=True)
    name: Mapped[str | None] = mapped_column(String(60))
    country: Mapped[str] = mapped_column(CHAR(2), index=True)
    created_at: Mapped[datetime] = mapped_column(Moment)


class Event(EventsBase):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int | None] = mapped_column(index=True)
    type: Mapped[str] = mapped_column(String(20), index=True)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    ts: Mapped[datetime] = mapped_column(Moment, index=True)


USERS = """
INSERT INTO users SELECT g, 'user' || g || '@example.org',
  CASE WHEN g % 50 = 0 THEN NULL WHEN g % 7 = 0 THEN 'Zoë Ωmega 你好 ' || g
       WHEN g % 11 = 0 THEN 'O''Brien 😀 ' || g ELSE 'User Name ' || g END,
  chr(65 + ((g * 7919) % 100) / 10) || chr(65 + ((g * 7919) % 100) % 10),
  timestamp '2020-01-01' + g * interval '61 seconds' + (g % 1000) * interval '1 microsecond'
FROM generate_series(1, {users}) g"""
# Over the same 162 days however many they are, so that a tenth of them is in the time that Q4 asks for.
EVENTS = """
INSERT INTO events SELECT g, CASE WHEN g % 1000 = 0 THEN NULL WHEN u % 20 = 0 THEN u - 1 ELSE u END,
  'type' || lpad((h % 100)::text, 2, '0'),
  CASE WHEN g % 200 = 0 THEN NULL ELSE ((h * 31 + g) % 100000000)::numeric / 100 - 50000 END,
  timestamp '2024-01-01' + (g * 14e6 / {events}) * interval '1 second' + (g % 999983) * interval '1 microsecond'
FROM generate_series(1, {events}) g,
  LATERAL (SELECT ('x' || substr(md5(g::text), 1, 7))::bit(28)::int::bigint AS h) AS random,
  LATERAL (SELECT (1 + (h / 100) % {users})::int AS u) AS chosen"""


def create(url: URL, events: int) -> None:
    """Both tables with their rows, in a PostgreSQL."""
    numbers = {"users": events // EVENTS_PER_USER, "events": events}
    with _engine(url) as engine:
        for base, insert in ((UsersBase, USERS), (EventsBase, EVENTS)):
            with engine.begin() as connection:
                base.metadata.create_all(connection)
                connection.exec_driver_sql(insert.format(**numbers), execution_options={"no_parameters": True})
        _run_alone(engine, "VACUUM ANALYZE")


def export(url: URL, base: type[DeclarativeBase], path: Path) -> None:
    """The rows in a file, one a line: tabs between the columns, ``\\N`` for NULL."""
    [table] = base.metadata.sorted_tables
    with _engine(url) as engine, engine.connect() as connection, path.open("wb") as file:
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} TO STDOUT") as copy:
            for block in copy:
                file.write(block)


def fill(url: URL, base: type[DeclarativeBase], path: Path) -> None:
    """The table of ``base`` in a database, with the rows of a file."""
    [table] = base.metadata.sorted_tables
    with _engine(url) as engine:
        with engine.begin() as connection:
            table.create(connection)
            _FILL[engine.name](connection.connection.cursor(), table.name, path)
        _run_alone(engine, f"ANALYZE TABLE {table.name}" if engine.name == "mysql" else "ANALYZE")


@contextmanager
def _engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url, connect_args={"local_infile": True} if url.get_backend_name() == "mysql" else {})
    try:
        yield engine
    finally:
        engine.dispose()


def _copy(cursor: Any, table: str, path: Path) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN") as copy, path.open("rb") as file:
        while block := file.read(1 << 20):
            copy.write(block)


def _load_file(cursor: Any, table: str, path: Path) -> None:
    cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} CHARACTER SET utf8mb4")


def _insert(cursor: Any, table: str, path: Path) -> None:
    with path.open() as file:
        rows = (_for_sqlite(line) for line in file)
        first = next(rows)
        marks = ", ".join("?" * len(first))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", chain([first], rows))


def _for_sqlite(line: str) -> list[str | None]:
    """SQLAlchemy reads what it has written: six digits after the second. The moment is in the last column."""
    *cells, moment = line.rstrip("\n").split("\t")
    second, _, fraction = moment.partition(".")
    return [*(None if cell == "\\N" else cell for cell in cells), f"{second}.{fraction:0<6}"]


_FILL: dict[str, Callable[[Any, str, Path], None]] = {
    "postgresql": _copy,
    "mysql": _load_file,
    "sqlite": _insert,
}


def _run_alone(engine: Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)
