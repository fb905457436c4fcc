"""Statements: SQL that a revision executes, read as the operations it amounts to.

What is not recognised amounts to none. Comments, strings and the bodies of functions are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from alembic.operations import ops
from sqlalchemy import Column, Computed, Dialect, Executable, Identity, TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import UserDefinedType

from manybase.migrations.lint.steps import Compacted, Dropped, Emptied, Operation

Match = re.Match[str]
Found = Iterator[Operation]

NAME = r"(?:[\w$]+|\"[^\"]+\"|`[^`]+`)"
DOTTED = rf"{NAME}(?: ?\. ?{NAME})*"
NAMES = rf"{DOTTED}(?: ?, ?{DOTTED})*"
END = "(?: CASCADE| RESTRICT)?"
TYPE = r"\w+(?: VARYING| PRECISION)?(?: ?\([^)]*\))?(?: WITH(?:OUT)? TIME ZONE)?"

QUOTED = r"(?P<name>\"[^\"]*\"|`[^`]*`)"
COMMENT = r"(?P<comment>--[^\n]*|/\*.*?\*/)"
MYSQL = rf"{QUOTED}|{COMMENT}|(?P<hash>#[^\n]*)|'(?:[^'\\]|\\.|'')*'"
STANDARD = rf"{QUOTED}|{COMMENT}|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|\bE'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"


class Named(UserDefinedType[Any]):
    """A type of which no more is known than how it is written."""

    cache_ok = True

    def __init__(self, written: str) -> None:
        self.written = written

    def get_col_spec(self, **options: Any) -> str:
        return self.written


def operations_in(sql: Executable | str, dialect: Dialect) -> Found:
    """The operations that the SQL amounts to."""
    for statement in plain(written(sql, dialect), dialect).split(";"):
        yield from first(STATEMENTS, " ".join(statement.split()))


def written(sql: Executable | str, dialect: Dialect) -> str:
    if isinstance(sql, str):
        return sql
    if isinstance(sql, TextClause):
        return sql.text
    try:
        return str(sql.compile(dialect=dialect))  # type: ignore[attr-defined]
    except SQLAlchemyError:
        return ""


def plain(sql: str, dialect: Dialect) -> str:
    """Without comments, and without what stands in strings."""

    def shown(match: Match) -> str:
        if match["name"]:
            return match["name"]
        return " " if match.group().startswith(("--", "/*", "#")) else "''"

    hidden = MYSQL if dialect.name in ("mysql", "mariadb") else STANDARD
    return re.sub(hidden, shown, sql, flags=re.DOTALL | re.IGNORECASE)


def first(forms: Forms, sql: str, *given: Any) -> Found:
    for form, meaning in forms:
        match = re.fullmatch(form, sql, re.IGNORECASE)
        if match:
            return meaning(*given, match)
    return iter(())


def unquoted(name: str) -> tuple[str, str | None]:
    """The last part of a dotted name, and what stands before it."""
    *schema, last = (each.strip('"`') for each in re.findall(NAME, name))
    return last, schema[-1] if schema else None


def tables(match: Match) -> Iterator[tuple[str, str | None]]:
    return map(unquoted, re.findall(DOTTED, match["tables"]))


def create_table(match: Match) -> Found:
    table, schema = unquoted(match["table"])
    yield ops.CreateTableOp(table, [], schema=schema, if_not_exists=bool(match["unless"]))


def drop_table(match: Match) -> Found:
    for table, schema in tables(match):
        yield ops.DropTableOp(table, schema=schema)


def empty_tables(match: Match) -> Found:
    for table, schema in tables(match):
        yield Emptied(table, schema)


def drop_schema(match: Match) -> Found:
    yield Dropped("database" if match["kind"].upper() == "DATABASE" else "schema", unquoted(match["name"])[0])


def compact(match: Match) -> Found:
    yield Compacted(*unquoted(match["table"])) if match["table"] else Compacted(None, None)


def create_index(match: Match) -> Found:
    table, schema = unquoted(match["table"])
    name = unquoted(match["name"])[0] if match["name"] else None
    concurrently = {"postgresql_concurrently": bool(match["concurrently"])}
    yield ops.CreateIndexOp(name, table, [], schema=schema, unique=bool(match["unique"]), **concurrently)


def create_special_index(match: Match) -> Found:
    table, schema = unquoted(match["table"])
    yield ops.CreateIndexOp(unquoted(match["name"])[0], table, [], schema=schema, mysql_prefix=match["kind"])


def add_special_index(table: str, schema: str | None, match: Match) -> Found:
    name = unquoted(match["name"])[0] if match["name"] else None
    yield ops.CreateIndexOp(name, table, [], schema=schema, mysql_prefix=match["kind"])


def drop_index(match: Match) -> Found:
    name, schema = unquoted(match["name"])
    table = unquoted(match["table"])[0] if match["table"] else None
    yield ops.DropIndexOp(name, table, schema=schema, postgresql_concurrently=bool(match["concurrently"]))


def rename_table(match: Match) -> Found:
    table, schema = unquoted(match["table"])
    yield ops.RenameTableOp(table, unquoted(match["new"])[0], schema=schema)


def alter_table(match: Match) -> Found:
    table, schema = unquoted(match["table"])
    for action in split(match["actions"]):
        yield from first(ACTIONS, action, table, schema)


def split(actions: str) -> list[str]:
    """At the commas that stand in no parentheses."""
    depth, parts = 0, [""]
    for character in actions:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def add_constraint(table: str, schema: str | None, match: Match) -> Found:
    name = unquoted(match["name"])[0] if match["name"] else None
    rest = match["rest"].upper()
    kind = match["kind"].upper()
    if "USING INDEX" in rest:
        return
    options = {"postgresql_not_valid": rest.endswith("NOT VALID")}
    if kind == "FOREIGN KEY":
        yield ops.CreateForeignKeyOp(name, table, "", [], [], source_schema=schema, **options)
    elif kind == "CHECK":
        yield ops.CreateCheckConstraintOp(name, table, "", schema=schema, **options)
    elif kind == "PRIMARY KEY":
        yield ops.CreatePrimaryKeyOp(name, table, [], schema=schema)
    else:
        yield ops.CreateUniqueConstraintOp(name, table, [], schema=schema)


def add_column(table: str, schema: str | None, match: Match) -> Found:
    rest = match["rest"]
    default = re.search(r" DEFAULT (.+?)(?= NOT NULL| NULL| UNIQUE| CHECK| REFERENCES| CONSTRAINT|$)", rest, re.I)
    counted = re.search(r"\bAS IDENTITY\b|^\w*SERIAL\b|\bAUTO_INCREMENT\b", rest, re.I)
    stored = re.search(r"\bAS ?\(.+\) ?(STORED|PERSISTENT)\b", rest, re.I)
    column = Column[Any](
        unquoted(match["column"])[0],
        Named(rest),
        *([Identity()] if counted else [Computed("", persisted=True)] if stored else []),
        nullable=re.search(r"\bNOT NULL\b", rest, re.I) is None,
        server_default=text(default[1]) if default and not counted else None,
        unique=re.search(r"\bUNIQUE\b", rest, re.I) is not None,
    )
    yield ops.AddColumnOp(table, column, schema=schema)
    if re.search(r"\bREFERENCES\b", rest, re.I):
        yield ops.CreateForeignKeyOp(None, table, "", [], [], source_schema=schema)


def drop_column(table: str, schema: str | None, match: Match) -> Found:
    yield ops.DropColumnOp(table, unquoted(match["column"])[0], schema=schema)


def change_type(table: str, schema: str | None, match: Match) -> Found:
    named = match.groupdict()
    column = unquoted(match["column"])[0]
    new = unquoted(named["new"])[0] if named.get("new") else column
    yield ops.AlterColumnOp(
        table,
        column,
        schema=schema,
        modify_type=Named(match["type"]),
        modify_name=new if new != column else None,
        postgresql_using=named.get("using"),
    )


def set_not_null(table: str, schema: str | None, match: Match) -> Found:
    yield ops.AlterColumnOp(table, unquoted(match["column"])[0], schema=schema, modify_nullable=False)


def rename_column(table: str, schema: str | None, match: Match) -> Found:
    yield ops.AlterColumnOp(table, unquoted(match["column"])[0], schema=schema, modify_name=unquoted(match["new"])[0])


def rename_by_alter(table: str, schema: str | None, match: Match) -> Found:
    yield ops.RenameTableOp(table, unquoted(match["new"])[0], schema=schema)


def empty_partition(table: str, schema: str | None, match: Match) -> Found:
    yield Emptied(table, schema)


Forms = tuple[tuple[str, Callable[..., Found]], ...]

STATEMENTS: Forms = (
    (
        r"CREATE (?:GLOBAL |LOCAL )?(?:TEMP(?:ORARY)? |UNLOGGED )?TABLE "
        rf"(?P<unless>IF NOT EXISTS )?(?P<table>{DOTTED}).*",
        create_table,
    ),
    (rf"DROP TABLE (?:IF EXISTS )?(?P<tables>{NAMES}){END}", drop_table),
    (rf"DROP (?P<kind>SCHEMA|DATABASE) (?:IF EXISTS )?(?P<name>{NAME}){END}.*", drop_schema),
    (
        rf"TRUNCATE (?:TABLE )?(?:ONLY )?(?P<tables>{NAMES})(?: RESTART IDENTITY| CONTINUE IDENTITY)?{END}",
        empty_tables,
    ),
    (
        rf"DELETE FROM (?:ONLY )?(?P<tables>{DOTTED})(?: (?:AS )?(?!WHERE|USING|LIMIT|ORDER|RETURNING){NAME})?",
        empty_tables,
    ),
    (
        rf"CREATE (?P<unique>UNIQUE )?INDEX (?P<concurrently>CONCURRENTLY )?(?:IF NOT EXISTS )?"
        rf"(?:(?P<name>(?!ON ){DOTTED}) )?ON (?:ONLY )?(?P<table>{DOTTED}).*",
        create_index,
    ),
    (rf"CREATE (?P<kind>FULLTEXT|SPATIAL) INDEX (?P<name>{NAME}) ON (?P<table>{DOTTED}).*", create_special_index),
    (
        r"DROP INDEX (?P<concurrently>CONCURRENTLY )?(?:IF EXISTS )?"
        rf"(?P<name>{DOTTED})(?: ON (?P<table>{DOTTED}))?{END}",
        drop_index,
    ),
    (rf"RENAME TABLE (?P<table>{DOTTED}) TO (?P<new>{DOTTED})", rename_table),
    (rf"VACUUM (?:FULL|\([^)]*\bFULL\b[^)]*\))(?: VERBOSE| ANALYZE)*(?: (?P<table>{DOTTED}))?", compact),
    (rf"CLUSTER(?: VERBOSE)?(?: (?P<table>{DOTTED})(?: USING {NAME})?)?", compact),
    (rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?P<table>{DOTTED}) (?P<actions>.+)", alter_table),
)

ACTIONS: Forms = (
    (
        rf"ADD (?:CONSTRAINT (?:(?P<name>{NAME}) )?)?"
        r"(?P<kind>FOREIGN KEY|CHECK|UNIQUE|PRIMARY KEY|EXCLUDE)\b(?P<rest>.*)",
        add_constraint,
    ),
    (rf"ADD (?P<kind>FULLTEXT|SPATIAL)(?: INDEX| KEY)?(?: (?P<name>{NAME}))? ?\(.*", add_special_index),
    (
        r"ADD (?:COLUMN |(?!(?:COLUMN|CONSTRAINT|INDEX|KEY|FULLTEXT|SPATIAL|PARTITION|PERIOD|SYSTEM) ))"
        rf"(?:IF NOT EXISTS )?(?P<column>{NAME}) (?P<rest>.+)",
        add_column,
    ),
    (r"(?:DROP|TRUNCATE) PARTITION.*", empty_partition),
    (rf"DROP (?:COLUMN )?(?:IF EXISTS )?(?P<column>{NAME}){END}", drop_column),
    (
        rf"ALTER (?:COLUMN )?(?P<column>{NAME}) (?:SET DATA )?TYPE (?P<type>{TYPE}.*?)(?: USING (?P<using>.+))?",
        change_type,
    ),
    (rf"ALTER (?:COLUMN )?(?P<column>{NAME}) SET NOT NULL", set_not_null),
    (rf"MODIFY (?:COLUMN )?(?:IF EXISTS )?(?P<column>{NAME}) (?P<type>{TYPE})(?: .*)?", change_type),
    (rf"CHANGE (?:COLUMN )?(?:IF EXISTS )?(?P<column>{NAME}) (?P<new>{NAME}) (?P<type>{TYPE})(?: .*)?", change_type),
    (rf"RENAME (?:TO|AS) (?P<new>{DOTTED})", rename_by_alter),
    (rf"RENAME (?:COLUMN )?(?P<column>{NAME}) TO (?P<new>{NAME})", rename_column),
)
