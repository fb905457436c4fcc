"""The risks of adding a column and of altering one."""

from __future__ import annotations

from typing import Any

from alembic.operations import ops
from sqlalchemy import Column, Integer
from sqlalchemy.types import TypeEngine, to_instance

from manybase.migrations.lint.constraint_rules import foreign_key, index, unique
from manybase.migrations.lint.defaults import is_volatile
from manybase.migrations.lint.places import Place, Risks, column, table_name
from manybase.migrations.lint.risk import Risk
from manybase.migrations.lint.spelling import spelled
from manybase.migrations.lint.type_changes import loses, rewrites

BOTH_NAMES = (
    "Add the new one beside the old, let the code write both and then read the new one, and drop the old one in a "
    "later release."
)
NEW_COLUMN = (
    "op.add_column() with the new type, let the code write both, copy the old values in small batches, and drop the "
    "old column in a later release."
)


def add_column(operation: ops.AddColumnOp, place: Place) -> Risks:
    added = operation.column
    counted = place.server != "sqlite" and (added.identity is not None or is_serial(added))
    if not added.nullable and added.server_default is None and not counted:
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


def is_serial(added: Column[Any]) -> bool:
    """Whether SQLAlchemy makes it SERIAL or AUTO_INCREMENT."""
    counts = added.autoincrement is True or (added.autoincrement == "auto" and not added.foreign_keys)
    return added.primary_key and counts and isinstance(added.type, Integer) and added.server_default is None


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
