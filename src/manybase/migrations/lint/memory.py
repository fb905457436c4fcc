"""Memory: what pending revisions make themselves. It holds no rows, and nobody uses it yet."""

from __future__ import annotations

from typing import TypeGuard

from alembic.operations import ops

from manybase.migrations.lint.steps import Operation

Table = tuple[str | None, str]


class Made:
    """The tables, columns and indexes that the run has made so far."""

    def __init__(self) -> None:
        self.tables: set[Table] = set()
        self.columns: set[tuple[Table, str]] = set()
        self.indexes: set[str] = set()

    def is_harmless(self, operation: Operation) -> bool:
        """Whether it concerns nothing but what the run has made."""
        table = table_of(operation)
        if isinstance(operation, ops.DropColumnOp) or is_renaming(operation):
            return table in self.tables or (table, operation.column_name.lower()) in self.columns
        if isinstance(operation, ops.DropIndexOp) and str(operation.index_name).lower() in self.indexes:
            return True
        return table in self.tables

    def learn(self, operation: Operation) -> None:
        table = table_of(operation)
        if isinstance(operation, ops.CreateTableOp) and not getattr(operation, "if_not_exists", None):
            self.tables.add(table)
        elif isinstance(operation, ops.DropTableOp):
            self.tables.discard(table)
        elif isinstance(operation, ops.RenameTableOp) and table in self.tables:
            self.tables.remove(table)
            self.tables.add((table[0], operation.new_table_name.lower()))
        elif isinstance(operation, ops.AddColumnOp) and not getattr(operation, "if_not_exists", None):
            self.columns.add((table, operation.column.name.lower()))
        elif is_renaming(operation) and (table, operation.column_name.lower()) in self.columns:
            self.columns.add((table, str(operation.modify_name).lower()))
        elif isinstance(operation, ops.CreateIndexOp) and table in self.tables:
            self.indexes.add(str(operation.index_name).lower())


def is_renaming(operation: Operation) -> TypeGuard[ops.AlterColumnOp]:
    """Whether it changes the name of a column, and nothing else."""
    if not isinstance(operation, ops.AlterColumnOp) or operation.modify_name is None:
        return False
    return operation.modify_type is None and operation.modify_nullable is None


def table_of(operation: Operation) -> Table:
    """Its table, with the schema. PostgreSQL's schema "public" may be left out."""
    name, schema = named(operation)
    return (None if schema is None or schema.lower() == "public" else schema.lower(), name.lower())


def named(operation: Operation) -> tuple[str, str | None]:
    """The name of its table, and the schema; no name where it is of no single table."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return operation.source_table, operation.kw.get("source_schema")
    return str(getattr(operation, "table_name", None) or ""), getattr(operation, "schema", None)
