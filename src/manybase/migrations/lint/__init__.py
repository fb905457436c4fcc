"""Lint: what pending revisions would do to a database in production, before they do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alembic.operations import ops
from alembic.script import Script
from sqlalchemy import Dialect, make_url

from manybase.migrations.lint.memory import Made
from manybase.migrations.lint.places import Place
from manybase.migrations.lint.recording import record
from manybase.migrations.lint.risk import Kind, Risk
from manybase.migrations.lint.rules import risks_of
from manybase.migrations.lint.statements import operations_in
from manybase.migrations.lint.steps import Operation, Step

__all__ = ["Kind", "Risk", "risks"]


def risks(scripts: Iterable[Script], dialect_name: str, *, upgrade: bool = True) -> list[Risk]:
    """The risks of the scripts, in the order in which they would run on a server of that dialect.

    Each is run without a database, and what it does to tables that the scripts make themselves is left out. Plain SQL
    is read as far as its first words are known; SQL that is not recognised gives no risk. A script that asks for rows
    ends there, with a risk of kind "unknown". What it does beside Alembic, such as opening a connection of its own or
    printing, it does.
    """
    dialect = make_url(f"{dialect_name}://").get_dialect()()
    made = Made()
    found: list[Risk] = []
    for step in record(scripts, dialect_name, upgrade=upgrade):
        for operation in operations_of(step, dialect):
            if not made.is_harmless(operation):
                found += risks_of(operation, Place(step.revision, dialect, step.autocommit))
            made.learn(operation)
    return found


def operations_of(step: Step, dialect: Dialect) -> Iterator[Operation]:
    """What plain SQL amounts to, and other operations as they are."""
    if isinstance(step.operation, ops.ExecuteSQLOp):
        yield from operations_in(step.operation.sqltext, dialect)
    else:
        yield step.operation
