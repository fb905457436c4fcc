"""Search path: a connection whose tables are those of one schema, in constructs and in textual SQL alike."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event

from manybase.attaching import names_tables_itself
from manybase.errors import UnsupportedStatement

SCHEMA = "_manybase_schema"
textual: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # compiled statements that name tables in text


def follow(connection: Connection, schema: str) -> None:
    """From now on, until the connection is closed, tables without a schema are those of ``schema``.

    SQLAlchemy says so in what it compiles, once for all tenants. Textual SQL cannot be changed: PostgreSQL is told
    where to look, for the rest of the transaction; elsewhere it is refused.
    """
    options = connection.get_execution_options()
    known: dict[str | None, str | None] = dict(options.get("schema_translate_map") or {})
    connection.execution_options(schema_translate_map={**known, None: schema})
    facts = vars(connection)
    if SCHEMA not in facts:
        event.listen(connection, "before_cursor_execute", look_there)
    facts[SCHEMA] = schema


def look_there(
    connection: Connection, _cursor: object, sql: str, _parameters: object, context: Any, _many: bool
) -> None:
    """Before SQL that names tables in text: look in the schema of the tenant first, and then in what all share."""
    if not is_textual(context):
        return
    schema: str = vars(connection)[SCHEMA]
    dialect = connection.dialect
    if dialect.name != "postgresql":
        raise UnsupportedStatement(
            "text() for a tenant that has a schema of its own",
            f"{dialect.name} would look for its tables in the schema of the URL, which is nobody's",
            "Write it with SQLAlchemy's constructs, or give each tenant a database: {tenant} in the URL.",
        )
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise UnsupportedStatement(
            "text() for a tenant that has a schema of its own, in AUTOCOMMIT",
            "where to look holds for a transaction, and there is none",
            "Write it with SQLAlchemy's constructs, or with the schema in front of each table.",
        )
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"SET LOCAL search_path TO {dialect.identifier_preparer.quote_identifier(schema)}, public")
    finally:
        cursor.close()


def is_textual(context: Any) -> bool:
    compiled = getattr(context, "compiled", None)
    statement = getattr(compiled, "statement", None)
    if compiled is None or statement is None:
        return True
    known: bool | None = textual.get(compiled)
    if known is None:
        known = textual[compiled] = names_tables_itself(statement)
    return known
