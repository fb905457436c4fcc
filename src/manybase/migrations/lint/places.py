"""Places: where a rule is asked, and how what is there is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alembic.operations import ops
from sqlalchemy import Dialect

from manybase.migrations.lint.memory import named
from manybase.migrations.lint.risk import Kind, Risk
from manybase.migrations.lint.steps import Operation

Risks = Iterator[Risk]


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


def table_name(operation: Operation) -> str:
    name, schema = named(operation)
    return f"{schema}.{name}" if schema else name


def column(operation: ops.AddColumnOp | ops.AlterColumnOp | ops.DropColumnOp) -> str:
    name = operation.column.name if isinstance(operation, ops.AddColumnOp) else operation.column_name
    return f"column {table_name(operation)}.{name}"
