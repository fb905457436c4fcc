"""Rules: the risks of one operation, on the server that it would be done on.

PostgreSQL 12, MariaDB 10.6, MySQL 8 and SQLite, and whatever is newer. Of other servers, what holds for all.
"""

from __future__ import annotations

from functools import singledispatch

from alembic.operations import ops

from manybase.migrations.lint.column_rules import add_column, alter_column
from manybase.migrations.lint.constraint_rules import add_constraint, create_index, drop_index
from manybase.migrations.lint.places import Place, Risks, column, table_name
from manybase.migrations.lint.steps import Compacted, Copied, Dropped, Emptied, Failed, Operation

TWO_STEPS = "Release code that does not use it first, keep a backup, and drop it in a later release."


def failed(operation: Failed, place: Place) -> Risks:
    function = f"{operation.function}()"
    message = f"What {function} does is not known, or not all of it: without a database it fails ({operation.error})."
    safer = (
        "Read it yourself, and try it on a copy of the database. If it reads rows, move that into a program of its "
        "own, or do it in one op.execute()."
    )
    yield place.risk("unknown", function, message, safer)


def dropped(operation: Dropped, place: Place) -> Risks:
    message = f"The {operation.kind} is dropped with all that is in it."
    yield place.risk("data loss", f"{operation.kind} {operation.name}", message, TWO_STEPS)


def drop_table(operation: ops.DropTableOp, place: Place) -> Risks:
    message = "The table is dropped with all its rows."
    safer = (
        "Release code that does not use it first; then op.rename_table() it away for a while, keep a backup, and drop "
        "it in a later release."
    )
    yield place.risk("data loss", f"table {table_name(operation)}", message, safer)


def drop_column(operation: ops.DropColumnOp, place: Place) -> Risks:
    yield place.risk("data loss", column(operation), "The column is dropped with all its values.", TWO_STEPS)


def emptied(operation: Emptied, place: Place) -> Risks:
    safer = "Delete with a WHERE, in small batches, and keep a backup."
    yield place.risk("data loss", f"table {table_name(operation)}", "Rows are deleted without a condition.", safer)


def copied(operation: Copied, place: Place) -> Risks:
    message = "The whole table is copied into a new one, and nobody can write to it meanwhile."
    safer = (
        "Run it while nobody writes. Columns and indexes alone can be added without a copy: leave the other changes "
        "out of the batch, and do not pass recreate='always'."
    )
    yield place.risk("rewrite", f"table {table_name(operation)}", message, safer)


def compacted(operation: Compacted, place: Place) -> Risks:
    where = f"table {table_name(operation)}" if operation.table_name else "all tables"
    message = "Each table is written anew, and nobody can read or write it meanwhile."
    yield place.risk("rewrite", where, message, "Use VACUUM without FULL, or pg_repack, outside of migrations.")


def rename_table(operation: ops.RenameTableOp, place: Place) -> Risks:
    message = "The release that is still running does not find the table any more."
    safer = (
        "Rename it together with a view of the old name, op.execute('CREATE VIEW old AS SELECT * FROM new'), and drop "
        "the view in a later release."
    )
    yield place.risk("rename", f"table {table_name(operation)}", message, safer)


@singledispatch
def risks_of(operation: Operation, place: Place) -> Risks:
    return iter(())


risks_of.register(failed)
risks_of.register(dropped)
risks_of.register(drop_table)
risks_of.register(drop_column)
risks_of.register(emptied)
risks_of.register(copied)
risks_of.register(compacted)
risks_of.register(rename_table)
risks_of.register(add_column)
risks_of.register(alter_column)
risks_of.register(add_constraint)
risks_of.register(create_index)
risks_of.register(drop_index)
