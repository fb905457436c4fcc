"""Fills databases with the generated files, each in the fastest way that it has."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, MetaData, Table, create_engine
from sqlalchemy.orm import DeclarativeBase

from tests.tpch.data import file_of, lines

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}
AT_ONCE = 10_000


def with_driver(url: URL) -> URL:
    return url.set(drivername=DRIVERS[url.get_backend_name()])


def load(folder: Path, url: URL, *bases: type[DeclarativeBase]) -> None:
    """Creates the tables of models in a database, fills them from a folder, and lets the database count them."""
    backend = url.get_backend_name()
    options = {"local_infile": True} if backend == "mysql" else {}
    engine = create_engine(with_driver(url), connect_args=options)
    with engine.begin() as connection:
        for table in _tables([base.metadata for base in bases]):
            table.create(connection)
            FILL[backend](connection, table, file_of(folder, table.name))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _analyze(connection, _tables([base.metadata for base in bases]))
    engine.dispose()


def _tables(metadatas: Sequence[MetaData]) -> list[Table]:
    return [table for metadata in metadatas for table in metadata.sorted_tables]


def _analyze(connection: Connection, tables: Sequence[Table]) -> None:
    if connection.dialect.name != "mysql":
        connection.exec_driver_sql("ANALYZE")
        return
    for table in tables:
        connection.exec_driver_sql(f"ANALYZE TABLE {table.name}")


def _copy(connection: Connection, table: Table, path: Path) -> None:
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} FROM STDIN WITH (DELIMITER '|')") as copy:
        rows = lines(path)
        while block := list(islice(rows, AT_ONCE)):
            copy.write("\n".join(block) + "\n")


def _load_file(connection: Connection, table: Table, path: Path) -> None:
    form = "FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'"
    cursor: Any = connection.connection.cursor()
    cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table.name} CHARACTER SET utf8mb4 {form}")


def _insert(connection: Connection, table: Table, path: Path) -> None:
    cursor = connection.connection.cursor()
    marks = ", ".join("?" * len(table.columns))
    cursor.executemany(f"INSERT INTO {table.name} VALUES ({marks})", (line.split("|") for line in lines(path)))


FILL: dict[str, Callable[[Connection, Table, Path], None]] = {
    "postgresql": _copy,
    "mysql": _load_file,
    "sqlite": _insert,
}
