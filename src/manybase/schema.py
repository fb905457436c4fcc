"""Creating the tables of a database, for small programs and tests."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Table
from sqlalchemy.schema import CreateSchema

from manybase.errors import ConfigurationError


def create_tables(connection: Connection, tables: Iterable[Table], schema: str | None = None) -> None:
    """Create the missing ones of ``tables``, which all live in the database of ``connection``, or in ``schema``."""
    tables = list(tables)
    check_keys(tables)
    if schema is not None:
        connection.execute(CreateSchema(schema, if_not_exists=True))
        connection = connection.execution_options(schema_translate_map={None: schema})
    for metadata in dict.fromkeys(table.metadata for table in tables):
        metadata.create_all(connection, tables=[table for table in tables if table.metadata is metadata])


def check_keys(tables: list[Table]) -> None:
    for table in tables:
        for constraint in table.foreign_key_constraints:
            target = constraint.referred_table
            if "cross_database" in constraint.info or target in tables:
                continue
            key = constraint.elements[0]
            raise ConfigurationError(
                f"The foreign key {key.parent} points at {target.fullname!r}, which lives in another database: no "
                f"server can check it. Declare it with cross_key({key.column}) instead of ForeignKey."
            )
