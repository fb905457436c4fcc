"""Sharing: the engine of a SQLite file that is attached to the connection of another one, and stays in its own file."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from sqlalchemy import DDL, Connection, Dialect, Engine, Table, TextClause, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import TextualSelect

from manybase.errors import RoutingError

SCHEMAS = "manybase: databases by schema"  # in the info of a DBAPI connection that has files attached
NAMES_TABLES = re.compile(r"\b(?:from|into|update|join|table|pragma)\b|\bin\s+[^\s(]", re.IGNORECASE)
COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
KEEPS_ITS_SQL = re.compile(r"create\s+(?:temp\w*\s+)?(?:view|trigger)\b", re.IGNORECASE)
PRAGMA = re.compile(r"""pragma\s+["'`\[]?([\w-]+)["'`\]]?\s*\.""", re.IGNORECASE)
OF_THE_CONNECTION = re.compile(
    r"pragma\s+(?:database_list|(?:defer_)?foreign_keys|busy_timeout|compile_options|\w+_list\s*$)", re.IGNORECASE
)
TABLES_OF_NO_FILE = re.compile(
    r"\b(?:json_each|json_tree|generate_series)\b", re.IGNORECASE
)  # SQLite files them in main
LIKE_INITIALIZED = ("server_version_info", "default_isolation_level")


class Shared:
    """Mixed into the dialect of an attached file, whose connection is another's to commit."""

    alias: str

    def do_commit(self, dbapi_connection: Any) -> None:
        """Nothing: the file that came first commits for all, when it is its turn."""

    def do_savepoint(self, connection: Connection, name: str) -> None:
        send(connection, f"SAVEPOINT {self.own(name)}")

    def do_rollback_to_savepoint(self, connection: Connection, name: str) -> None:
        self.unless_gone(connection, f"ROLLBACK TO {self.own(name)}")

    def do_release_savepoint(self, connection: Connection, name: str) -> None:
        self.unless_gone(connection, f"RELEASE {self.own(name)}")

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        if not (is_begin(statement) and in_transaction(context.root_connection)):
            super().do_execute(cursor, statement, parameters, context)  # type: ignore[misc]  # mixed into a dialect

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        raise RoutingError(
            f"The isolation level of database {self.alias!r} cannot be set to {level} here: its file shares the "
            "connection of another one, in the middle of a transaction. Use Session(databases, atomic=False), or a "
            "session pinned to it."
        )

    def own(self, name: str) -> str:
        return quoted(f"{name}_{self.alias}")  # each Connection counts its savepoints from 1

    def unless_gone(self, connection: Connection, sql: str) -> None:
        """A savepoint of the same level, or of an outer one, that was set earlier has taken this one along."""
        try:
            send(connection, sql)
        except DBAPIError as error:
            if "no such savepoint" not in str(error.orig):
                raise


class Noting:
    """A compiler that notes what SQLAlchemy will not qualify with a schema: text, and tables known by name only."""

    names_tables_itself = False
    stack: Any

    def visit_textclause(self, textclause: Any, *arguments: Any, **options: Any) -> Any:
        self.note(textclause.text, whole=not self.stack)
        return super().visit_textclause(textclause, *arguments, **options)  # type: ignore[misc]  # for a compiler

    def visit_column(self, column: Any, *arguments: Any, **options: Any) -> Any:
        if column.is_literal:
            self.note(column.name)
        return super().visit_column(column, *arguments, **options)  # type: ignore[misc]

    def visit_table(self, table: Any, *arguments: Any, **options: Any) -> Any:
        self.note("", whole=not isinstance(table, Table))
        return super().visit_table(table, *arguments, **options)  # type: ignore[misc]

    def visit_insert(self, insert_stmt: Any, *arguments: Any, **options: Any) -> Any:
        self.note("", whole=not isinstance(insert_stmt.table, Table))
        return super().visit_insert(insert_stmt, *arguments, **options)  # type: ignore[misc]

    def note(self, text: str, *, whole: bool = False) -> None:
        if whole or NAMES_TABLES.search(text):
            self.names_tables_itself = True


def sharing(own: Engine, alias: str, like: Dialect) -> Engine:
    """An engine for Connections over another file's DBAPI connection; listeners of the file's own engine hear it.

    It never connects. ``like`` is the dialect of that connection, which has met the SQLite library.
    """
    engine = own.execution_options(schema_translate_map={None: alias, "main": alias})
    engine.dialect = shared(own.dialect, alias, like)
    event.listen(engine, "before_cursor_execute", stay_in_file)
    return engine


def shared(dialect: Any, alias: str, like: Dialect) -> Dialect:
    made: Any = object.__new__(mixed(Shared, dialect.__class__))
    vars(made).update(vars(dialect))
    made.statement_compiler = mixed(Noting, dialect.statement_compiler)
    made.alias = alias
    for attribute in LIKE_INITIALIZED:
        setattr(made, attribute, getattr(like, attribute, None))
    shared_dialect: Dialect = made
    return shared_dialect


@cache
def mixed(mixin: type, base: Any) -> type:
    return type(f"{mixin.__name__}{base.__name__}", (mixin, base), {"supports_statement_cache": True})


def stay_in_file(
    connection: Connection, _cursor: object, sql: str, parameters: Any, context: Any, executemany: bool
) -> None:
    """Raw SQL names tables as it likes, and SQLite looks in the file that came first: refuse what would go there."""
    alias: str = connection.dialect.alias  # type: ignore[attr-defined]  # Shared has it
    if context.execution_options["schema_translate_map"].get(None) != alias:
        refuse(connection, alias, "has a schema_translate_map of its own")
    if not is_raw(sql, context):
        return
    bare = sql[COMMENTS.match(sql).end() :]  # type: ignore[union-attr]  # it matches the empty string too
    if is_begin(bare):
        return  # a "begin" listener of the file's own engine: not sent where there is a transaction
    if KEEPS_ITS_SQL.match(bare):
        refuse(connection, alias, "creates a view or a trigger, which would keep the name of this connection's schema")
    if "pragma" not in bare.lower():
        refuse_strays(connection, alias, sql, parameters, executemany)
    elif not is_own_pragma(bare, alias):
        refuse(connection, alias, f"names no file in its PRAGMA, which is PRAGMA {quoted(alias)}.name")


def stay_in_main(
    connection: Connection, _cursor: object, sql: str, parameters: Any, context: Any, executemany: bool
) -> None:
    """A table that is missing in the first file would be looked for in those attached to it."""
    compiled = context.compiled
    if compiled is None or isinstance(compiled.statement, (TextClause, TextualSelect, DDL)):
        refuse_strays(connection, "main", sql, parameters, executemany)


def is_own_pragma(bare: str, alias: str) -> bool:
    found = PRAGMA.match(bare)
    return bool(OF_THE_CONNECTION.match(bare)) if found is None else found[1].lower() == alias.lower()


def is_raw(sql: str, context: Any) -> bool:
    compiled = context.compiled
    if compiled is None or context.isddl:
        return True
    # A default that is a SELECT is compiled without the map, and runs with the context of its INSERT.
    return getattr(compiled, "names_tables_itself", False) or (
        sql.startswith("SELECT") and sql != getattr(context, "statement", None)
    )


def refuse_strays(connection: Connection, alias: str, sql: str, parameters: Any, executemany: bool) -> None:
    schemas: dict[str, str] = connection.connection.info[SCHEMAS]
    strays = {schemas[each] for each in touched(connection, sql, parameters, executemany) & {*schemas} - {alias}}
    if strays:
        refuse(connection, alias, f"would use tables of database {' and '.join(map(repr, sorted(strays)))}")


def touched(connection: Connection, sql: str, parameters: Any, executemany: bool) -> set[str]:
    """The schemas a statement would read or write, asked of SQLite; none where it cannot run at all."""
    try:
        steps = send(connection, f"EXPLAIN {sql}", parameters[0] if executemany else parameters)
    except DBAPIError:
        return set()  # it says so itself, when it runs
    numbers = opened(steps, virtual=not TABLES_OF_NO_FILE.search(sql))
    return {name for number, name, _ in send(connection, "PRAGMA database_list") if number in numbers}


def opened(steps: list[Any], *, virtual: bool) -> set[int]:
    """The numbers of the schemas that a program opens: https://www.sqlite.org/opcode.html."""
    tables = {third for _, opcode, _, _, third, *_ in steps if opcode in ("OpenRead", "OpenWrite")}
    virtual = virtual and any(opcode == "VOpen" for _, opcode, *_ in steps)
    return tables | {
        first
        for _, opcode, first, second, *_ in steps
        if opcode == "Vacuum" or (opcode == "Transaction" and (second or virtual))
    }


def refuse(connection: Connection, alias: str, why: str) -> None:
    schemas: dict[str, str] = connection.connection.info[SCHEMAS]
    name = schemas[alias]
    raise RoutingError(
        f"A statement for database {name!r} {why}. Several SQLite files share one connection in this transaction, so "
        f"that they commit together ({', '.join(f'{n!r} as {quoted(a)}' for a, n in schemas.items())}), and a table "
        f"without a file in front is looked for in {schemas['main']!r} first. Write {quoted(alias)}.table, or use a "
        f"session of its own, Session(databases, database={name!r})."
    )


def is_begin(sql: str) -> bool:
    return sql[:5].upper() == "BEGIN"


def in_transaction(connection: Connection) -> bool:
    driver_connection: Any = connection.connection.driver_connection
    return bool(driver_connection.in_transaction)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def send(connection: Connection, sql: str, parameters: Any = ()) -> list[Any]:
    """The rows of what manybase sends on its own account: no listener and no log sees it."""
    dialect = connection.dialect
    try:
        cursor = connection.connection.cursor()
        cursor.execute(sql, parameters)
        rows = [*cursor.fetchall()]
        cursor.close()
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, dialect=dialect) from error
    except BaseException as error:
        connection.invalidate(error)  # cancelled in the middle: it must not go back to the pool as it is
        raise
    return rows
