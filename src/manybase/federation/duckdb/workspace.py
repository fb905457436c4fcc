"""Workspace: where one statement runs, over tables of its own that nobody else sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from manybase.federation.duckdb.dialect import DuckDBDialect
from manybase.federation.duckdb.interning import Interned
from manybase.federation.duckdb.padding import unpadded
from manybase.federation.duckdb.root import root, translated
from manybase.federation.duckdb.values import Column, Lane, lane

CHUNK = 10_000  # rows that are Python values and DuckDB's at a time
NULLS = {True: "NULLS_FIRST_ON_ASC_LAST_ON_DESC", False: "NULLS_LAST_ON_ASC_FIRST_ON_DESC"}
NAME = re.compile(r"\$(\w+)")


class Workspace:
    """Close it. ``part`` says in an error what DuckDB is needed for, where it is not installed."""

    def __init__(
        self,
        *,
        memory_limit: str | None = None,
        spill_directory: str | None = None,
        threads: int | None = 1,
        optimizes: bool = True,
        dialect: DuckDBDialect | None = None,
        part: str = "The statement",
    ) -> None:
        self.interned = Interned()
        self._dialect = dialect or DuckDBDialect()
        options = {
            "memory_limit": memory_limit,
            "temp_directory": spill_directory,
            "threads": threads,
            "default_null_order": NULLS[self._dialect.semantics.nulls_first],
        }
        self._marked = False
        given = {name: value for name, value in options.items() if value is not None}
        self._connection: Any = root().cursor(given, part, optimizes=optimizes)

    def load(self, name: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
        """A table of these rows, and how many there were. Values are as SQLAlchemy gave them at home."""
        lanes = [lane(column, self._dialect, self.interned) for column in columns]
        rest = iter(rows)
        count = self._create(name, lanes, list(islice(rest, CHUNK)))
        while chunk := list(islice(rest, CHUNK)):
            self._append(name, lanes, chunk)
            count += len(chunk)
        self._marked = self._marked or any(each.marked for each in lanes)
        return count

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None, *, carried: Iterable[int] = ()) -> Result:
        """Its rows. ``carried`` are the places of columns that hold codes, whose values are to come back."""
        given = {each: parameters[each] for each in names(sql) if each in parameters} if parameters else None
        with translated():
            self._connection.execute(sql, given or None)
        return Result(self._connection, self.interned.values, tuple(carried), unpad=self._marked)

    def interrupt(self) -> None:
        """End what runs, from another thread; there it raises ``dbapi.OperationalError``."""
        if (connection := self._connection) is not None:
            connection.interrupt()

    def close(self) -> None:
        """Its tables are gone, in memory and on disk."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self.interned = Interned()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _create(self, name: str, lanes: list[Lane], rows: list[Sequence[Any]]) -> int:
        given = put(lanes, rows)
        selected = ", ".join(f"{source(each, n)} AS {quoted(each.column.name)}" for n, each in enumerate(lanes, 1))
        with translated():
            self._connection.execute(f"CREATE TEMP TABLE {quoted(name)} AS SELECT {selected}", given)
        return len(rows)

    def _append(self, name: str, lanes: list[Lane], rows: list[Sequence[Any]]) -> None:
        before = [each.sql for each in lanes]
        given = put(lanes, rows)
        with translated():
            for each, was in zip(lanes, before, strict=True):
                if each.sql != was:
                    self._connection.execute(
                        f"ALTER TABLE {quoted(name)} ALTER {quoted(each.column.name)} TYPE {each.sql}"
                    )
            appender = self._connection.appender(quoted(name))
            appender.append_rows(zip(*given, strict=True))
            appender.flush()


class Result:
    """The rows of a statement, as a DBAPI cursor gives them."""

    rowcount, arraysize = -1, 1

    def __init__(self, connection: Any, values: list[Any], carried: tuple[int, ...], *, unpad: bool) -> None:
        self._connection = connection
        self._values = values
        self._carried = carried
        self._unpad = unpad
        self.description = connection.description

    def fetchone(self) -> tuple[Any, ...] | None:
        with translated():
            row: tuple[Any, ...] | None = self._connection.fetchone()
        return None if row is None else self._decoded([row])[0]

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        with translated():
            return self._decoded(self._connection.fetchmany(size or self.arraysize))

    def fetchall(self) -> list[tuple[Any, ...]]:
        with translated():
            return self._decoded(self._connection.fetchall())

    def _decoded(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if not rows or not (self._carried or self._unpad):
            return rows
        values = self._values
        columns: list[Any] = list(zip(*rows, strict=True))
        if self._unpad:
            columns = [list(map(unpadded, column)) for column in columns]
        for place in self._carried:
            columns[place] = [None if code is None else values[code] for code in columns[place]]
        return list(zip(*columns, strict=True))


def put(lanes: list[Lane], rows: list[Sequence[Any]]) -> list[list[Any]]:
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ([] for _ in lanes)
    return [list(each.put(values)) for each, values in zip(lanes, columns, strict=True)]


def source(each: Lane, place: int) -> str:
    given = f"unnest(${place}::{each.carrier}[])"
    text = given if each.carrier == each.sql else f"CAST({given} AS {each.sql})"
    return f"{text} COLLATE {each.collate}" if each.collate else text


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


@lru_cache(maxsize=1000)
def names(sql: str) -> tuple[str, ...]:
    """The parameters in a statement; DuckDB refuses one that is not."""
    return tuple(dict.fromkeys(NAME.findall(sql)))
