"""Tables of MySQL and MariaDB whose engine knows no transactions: what is written there, no rollback undoes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper

from manybase.engines import Databases
from manybase.errors import AtomicityError
from manybase.participants import MYSQL, backend_of
from manybase.twophase import mysql


def tables_without_transactions(databases: Databases, name: str, *, asyncio: bool) -> frozenset[str]:
    """Those of a database (MyISAM, Aria, MEMORY...); none of a database that is not MySQL or does not answer."""
    if backend_of(databases, name) not in MYSQL:
        return frozenset()

    def ask() -> frozenset[str]:
        with databases.beside(name, asyncio=asyncio) as connection:
            return mysql.tables_without_transactions(connection)

    try:
        return databases.learned.get(("without transactions", name), ask)
    except (SQLAlchemyError, OSError):  # the statement itself will say what is wrong
        return frozenset()


def refuse_what_is_fixed_at_once(name: str, tables: frozenset[str], clause: Any, mapper: Any) -> None:
    """Raise ``AtomicityError`` before a statement writes to one of these tables."""
    if found := sorted(table.name for table in tables_written(clause, mapper) if table.name in tables):
        raise AtomicityError(
            f"{', '.join(found)} in {name!r} has a storage engine without transactions: what is written there can not "
            "be rolled back with the other databases. ALTER TABLE ... ENGINE=InnoDB, or write it in a session of that "
            f"database alone (database={name!r}) or with atomic=False.",
            [name],
        )


def tables_written(clause: Any, mapper: Any) -> Iterable[Table]:
    table = getattr(clause, "table", None)
    if isinstance(table, Table):
        return [table]
    known = getattr(mapper, "__mapper__", mapper)
    if clause is None and isinstance(known, Mapper):
        return [each for each in known.tables if isinstance(each, Table)]
    return []
