"""Estimates: how many rows a fragment would bring, as its database supposes; asked now and then for each plan."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from sqlalchemy import Alias, ClauseElement, Connection, Executable, Integer, Table, func, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

PLANNERS = ("postgresql", "mysql", "mariadb")


class Explain(Executable, ClauseElement):
    """EXPLAIN of a SELECT."""

    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(Explain)
def explain(element: Explain, compiler: Any, **options: Any) -> str:
    options = {name: value for name, value in options.items() if name == "literal_binds"}
    return "EXPLAIN " + str(compiler.process(element.statement, **options))


@compiles(Explain, "postgresql")
def explain_as_json(element: Explain, compiler: Any, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + str(compiler.process(element.statement))


def estimated_rows(connection: Connection, statement: Any, parameters: dict[str, Any]) -> int | None:
    """What its planner supposes; None where it has none, or says nothing."""
    if connection.dialect.name == "sqlite":
        return last_row(connection, statement)
    if connection.dialect.name not in PLANNERS:
        return None
    result = connection.execute(Explain(statement), parameters)
    described = [column[0].lower() for column in result.cursor.description] if result.cursor is not None else []
    rows = [tuple(row) for row in result.all()]
    if connection.dialect.name == "postgresql":
        return of_postgresql(rows[0][0])
    return of_mysql([dict(zip(described, row, strict=True)) for row in rows])


def last_row(connection: Connection, statement: Any) -> int | None:
    """SQLite supposes nothing; but rows are numbered, and what the last one of a whole table is called it knows."""
    (source, *others) = statement.get_final_froms()
    if others or statement.whereclause is not None or not isinstance(source, (Table, Alias)):
        return None
    with suppress(DBAPIError):  # a view, or a table WITHOUT ROWID
        last = connection.scalar(select(func.max(literal_column("rowid", Integer()))).select_from(source))
        return last if isinstance(last, int) else None if last else 0  # it may be a column of that name
    return None


def of_postgresql(said: Any) -> int | None:
    (plan,) = json.loads(said) if isinstance(said, str) else said
    found = plan["Plan"].get("Plan Rows")
    return None if found is None else int(found)


def of_mysql(rows: list[dict[str, Any]]) -> int | None:
    """Of nested loops, the product."""
    product = 1.0
    for row in rows:
        product *= float(row.get("rows") or 1) * float(row.get("filtered") or 100) / 100
    return int(product)
