"""Rules: the risks of one operation, on the server that it would be done on.

PostgreSQL 12, MariaDB 10.6, MySQL 8 and SQLite, and whatever is newer. Of other servers, what holds for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from alembic.operations import ops
from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine, to_instance

from manybase.migrations.defaults import is_volatile
from manybase.migrations.memory import named
from manybase.migrations.risk import Kind, Risk
from manybase.migrations.spelling import spelled
from manybase.migrations.steps import Compacted, Copied, Dropped, Emptied, Failed, Operation
from manybase.migrations.type_changes import loses, rewrites

Risks = Iterator[Risk]

TWO_STEPS = "Release code that does not use it first, keep a backup, and drop it in a later release."
BOTH_NAMES = (
    "Add the new one beside the old, let the code write both and then read the new one, and drop the old one in a "
    "later release."
)
NEW_COLUMN = (
    "op.add_column() with the new type, let the code write both, copy the old values in small batches, and drop the "
    "old column in a later release."
)
ONLINE = "Run it while nobody writes to the table, or use pt-online-schema-change or gh-ost."


@dataclass(frozen=True)
class Place:
    """The step and the server that a rule is asked about."""

    revision: str
    dialect: Dialect
    autocommit: bool

    @property
    def server(self) -> str:
        """MariaDB and MySQL are one here."""
        return "mysql" if self.dialect.name == "mariadb" else self.dialect.name

    def risk(self, kind: Kind, where: str, message: str, safer: str) -> Risk:
        return Risk(self.revision, kind, where, message, safer)


@singledispatch
def risks_of(operation: Operation, place: Place) -> Risks:
    return iter(())


def table_name(operation: Operation) -> str:
    name, schema = named(operation)
    return f"{schema}.{name}" if schema else name


def column(operation: ops.AddColumnOp | ops.AlterColumnOp | ops.DropColumnOp) -> str:
    name = operation.column.name if isinstance(operation, ops.AddColumnOp) else operation.column_name
    return f"column {table_name(operation)}.{name}"


@risks_of.register
def failed(operation: Failed, place: Place) -> Risks:
    function = f"{operation.function}()"
    message = f"What {function} does is not known, or not all of it: without a database it fails ({operation.error})."
    safer = (
        "Read it yourself, and try it on a copy of the database. If it reads rows, move that into a program of its "
        "own, or do it in one op.execute()."
    )
    yield place.risk("unknown", function, message, safer)


@risks_of.register
def dropped(operation: Dropped, place: Place) -> Risks:
    message = f"The {operation.kind} is dropped with all that is in it."
    yield place.risk("data loss", f"{operation.kind} {operation.name}", message, TWO_STEPS)


@risks_of.register
def drop_table(operation: ops.DropTableOp, place: Place) -> Risks:
    message = "The table is dropped with all its rows."
    safer = (
        "Release code that does not use it first; then op.rename_table() it away for a while, keep a backup, and drop "
        "it in a later release."
    )
    yield place.risk("data loss", f"table {table_name(operation)}", message, safer)


@risks_of.register
def drop_column(operation: ops.DropColumnOp, place: Place) -> Risks:
    yield place.risk("data loss", column(operation), "The column is dropped with all its values.", TWO_STEPS)


@risks_of.register
def emptied(operation: Emptied, place: Place) -> Risks:
    safer = "Delete with a WHERE, in small batches, and keep a backup."
    yield place.risk("data loss", f"table {table_name(operation)}", "Rows are deleted without a condition.", safer)


@risks_of.register
def copied(operation: Copied, place: Place) -> Risks:
    message = "The whole table is copied into a new one, and nobody can write to it meanwhile."
    safer = (
        "Run it while nobody writes. Columns and indexes alone can be added without a copy: leave the other changes "
        "out of the batch, and do not pass recreate='always'."
    )
    yield place.risk("rewrite", f"table {table_name(operation)}", message, safer)


@risks_of.register
def compacted(operation: Compacted, place: Place) -> Risks:
    where = f"table {table_name(operation)}" if operation.table_name else "all tables"
    message = "Each table is written anew, and nobody can read or write it meanwhile."
    yield place.risk("rewrite", where, message, "Use VACUUM without FULL, or pg_repack, outside of migrations.")


@risks_of.register
def rename_table(operation: ops.RenameTableOp, place: Place) -> Risks:
    message = "The release that is still running does not find the table any more."
    safer = (
        "Rename it together with a view of the old name, op.execute('CREATE VIEW old AS SELECT * FROM new'), and drop "
        "the view in a later release."
    )
    yield place.risk("rename", f"table {table_name(operation)}", message, safer)


@risks_of.register
def add_column(operation: ops.AddColumnOp, place: Place) -> Risks:
    added = operation.column
    counted = place.server != "sqlite" and bool(added.identity or getattr(operation, "inline_primary_key", None))
    if not added.nullable and not added.primary_key and added.server_default is None and not counted:
        yield not_null_without_default(operation, place)
    if counted or is_computed(operation, place) or is_volatile(added.server_default, place.dialect):
        yield filled(operation, place)
    where = table_name(operation)
    if added.foreign_keys:
        yield from foreign_key(f"table {where}", place)
    if added.unique and not added.index:
        yield from unique(f"table {where}", place)
    if added.index:
        yield from index(f"index on {where}", place, concurrently=False)


def not_null_without_default(operation: ops.AddColumnOp, place: Place) -> Risk:
    if place.server == "mysql":
        message = (
            "Existing rows get 0 or an empty string, and the running release, which does not know it, cannot insert."
        )
    else:
        message = "It fails if the table has rows, for there is nothing to write into them."
    safer = (
        "op.add_column() with nullable=True or with a server_default; fill it in small batches, and set it NOT NULL "
        "in a later release."
    )
    return place.risk("not null", column(operation), message, safer)


def is_computed(operation: ops.AddColumnOp, place: Place) -> bool:
    computed = operation.column.computed
    if computed is None:
        return False
    return computed.persisted is not False if place.server == "postgresql" else computed.persisted is True


def filled(operation: ops.AddColumnOp, place: Place) -> Risk:
    message = "The whole table is written anew, for each row gets a value of its own, and nobody can write meanwhile."
    safer = (
        "op.add_column() with nullable=True and without the default, op.alter_column(server_default=...) for new rows, "
        "and fill the old ones in small batches."
    )
    return place.risk("rewrite", column(operation), message, safer)


@risks_of.register
def alter_column(operation: ops.AlterColumnOp, place: Place) -> Risks:
    if operation.modify_type is not None:
        yield from change_type(operation, to_instance(operation.modify_type), place)
    if operation.modify_nullable is False and operation.existing_nullable is not False:
        yield from set_not_null(operation, place)
    if operation.modify_name is not None and operation.modify_name != operation.column_name:
        message = "The release that is still running does not find the column any more."
        yield place.risk("rename", column(operation), message, BOTH_NAMES)


def change_type(operation: ops.AlterColumnOp, type_: TypeEngine[Any], place: Place) -> Risks:
    new = spelled(type_, place.dialect)
    if operation.existing_type is None:
        if place.server in ("postgresql", "mysql"):
            message = f"The whole table is written anew unless {new} is little more than what it was, and is locked."
            yield place.risk("rewrite", column(operation), message, f"Pass existing_type. {NEW_COLUMN}")
        return
    old = spelled(to_instance(operation.existing_type), place.dialect)
    if loses(old, new):
        message = f"Values that fit {old} but not {new} are cut off, rounded or refused."
        yield place.risk("data loss", column(operation), message, NEW_COLUMN)
    if rewrites(old, new) or (place.server == "postgresql" and is_computed_anew(operation)):
        nobody = "nobody can read or write it" if place.server == "postgresql" else "nobody can write to it"
        message = f"From {old} to {new}, the whole table is written anew, and {nobody} meanwhile."
        yield place.risk("rewrite", column(operation), message, NEW_COLUMN)


def is_computed_anew(operation: ops.AlterColumnOp) -> bool:
    """Whether USING does more than cast the column."""
    using = str(operation.kw.get("postgresql_using") or operation.column_name).replace('"', "").strip()
    return using.partition("::")[0].strip().lower() != operation.column_name.lower()


def set_not_null(operation: ops.AlterColumnOp, place: Place) -> Risks:
    where, table, name = column(operation), table_name(operation), operation.column_name
    message = "It fails if there are rows without a value, and the running release may still insert such rows."
    safer = "Release code that always writes it, fill the old rows in small batches, and then set it NOT NULL."
    yield place.risk("not null", where, message, safer)
    if place.server == "postgresql":
        message = "The whole table is read for rows without a value, and nobody can read or write it meanwhile."
        safer = (
            f"op.create_check_constraint('ck', '{table}', '{name} IS NOT NULL', postgresql_not_valid=True); in the "
            f"next revision op.execute('ALTER TABLE {table} VALIDATE CONSTRAINT ck'), then NOT NULL, which believes it."
        )
        yield place.risk("long lock", where, message, safer)


@risks_of.register
def add_constraint(operation: ops.AddConstraintOp, place: Place) -> Risks:
    name = getattr(operation, "constraint_name", None)
    where = f"constraint {name} on {table_name(operation)}" if name else f"table {table_name(operation)}"
    options = getattr(operation, "kw", {})
    if isinstance(operation, ops.CreateForeignKeyOp | ops.CreateCheckConstraintOp):
        if not (place.server == "postgresql" and options.get("postgresql_not_valid")):
            foreign = isinstance(operation, ops.CreateForeignKeyOp)
            yield from foreign_key(where, place) if foreign else check(where, place)
    elif isinstance(operation, ops.CreatePrimaryKeyOp) and place.server == "mysql":
        yield place.risk("rewrite", where, "The whole table is written anew, in the order of the new key.", ONLINE)
    else:
        yield from unique(where, place)


def foreign_key(where: str, place: Place) -> Risks:
    yield from checked(
        where, place, "Nobody can write to this table, nor to the other, while all its rows are checked."
    )


def check(where: str, place: Place) -> Risks:
    nobody = "Nobody can read or write the table" if place.server == "postgresql" else "Nobody can write to the table"
    yield from checked(where, place, f"{nobody} while all its rows are checked.")


def checked(where: str, place: Place, message: str) -> Risks:
    if place.server == "postgresql":
        safer = (
            "Pass postgresql_not_valid=True, and op.execute('ALTER TABLE ... VALIDATE CONSTRAINT ...') in the next "
            "revision: it locks nobody out."
        )
        yield place.risk("long lock", where, message, safer)
    elif place.server == "mysql":
        yield place.risk("long lock", where, message, ONLINE)


def unique(where: str, place: Place) -> Risks:
    """MariaDB and MySQL build the index while others write."""
    if place.server == "postgresql":
        message = "Nobody can read or write the table while its index is built."
        safer = (
            "Inside op.get_context().autocommit_block(): op.create_index(..., unique=True, "
            "postgresql_concurrently=True); then op.execute('ALTER TABLE ... ADD CONSTRAINT ... UNIQUE USING INDEX "
            "...')."
        )
        yield place.risk("long lock", where, message, safer)


@risks_of.register
def create_index(operation: ops.CreateIndexOp, place: Place) -> Risks:
    where = index_name(operation)
    if place.server == "mysql" and {*map(operation.kw.get, ("mysql_prefix", "mariadb_prefix"))} & {
        "FULLTEXT",
        "SPATIAL",
    }:
        yield place.risk("long lock", where, "Nobody can write to the table while the index is built.", ONLINE)
    yield from index(where, place, concurrently=bool(operation.kw.get("postgresql_concurrently")))


@risks_of.register
def drop_index(operation: ops.DropIndexOp, place: Place) -> Risks:
    concurrently = bool(operation.kw.get("postgresql_concurrently"))
    yield from index(index_name(operation), place, concurrently=concurrently, dropped=True)


def index_name(operation: ops.CreateIndexOp | ops.DropIndexOp) -> str:
    name = f"index {operation.index_name}" if operation.index_name else "index"
    table = table_name(operation) if operation.table_name else None
    return f"{name} on {table}" if table else name


def index(where: str, place: Place, *, concurrently: bool, dropped: bool = False) -> Risks:
    """Only on PostgreSQL does it matter."""
    if place.server != "postgresql" or (concurrently and place.autocommit):
        return
    if concurrently:
        message = "It fails: PostgreSQL does nothing concurrently inside a transaction."
    elif dropped:
        message = "It waits for all who use the table, and meanwhile nobody else can read or write it."
    else:
        message = "Nobody can write to the table while the index is built."
    safer = (
        f"with op.get_context().autocommit_block(): op.{'drop' if dropped else 'create'}_index(..., "
        "postgresql_concurrently=True)"
    )
    yield place.risk("index not concurrent", where, message, safer)
