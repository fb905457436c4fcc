"""Recording: what revisions do, found by running them without a database."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast

from alembic.operations import BatchOperations, Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import ClauseElement, Connection, create_mock_engine

from manybase.migrations.lint.steps import Copied, Failed, Operation, Step

PLAIN_FOR_SQLITE = (ops.AddColumnOp, ops.CreateIndexOp, ops.DropIndexOp)

one_at_a_time = Lock()  # Alembic's `op` is one for all threads


def record(scripts: Iterable[Script], dialect_name: str, *, upgrade: bool) -> Iterator[Step]:
    """What the scripts do, step by step, in their order. A script that fails without a database ends in ``Failed``."""
    context = Offline(dialect_name)
    for script in scripts:
        context.revision = script.revision
        run(script, context, "upgrade" if upgrade else "downgrade")
        yield from context.taken()


def run(script: Script, context: Offline, function: str) -> None:
    recording = Recording(context)
    installed = Operations.context(context)
    with one_at_a_time:
        op = installed.__enter__()
        # The names of `op` belong to the class Operations: an instance of a class of ours would not be installed.
        op.invoke = recording.invoke  # type: ignore[method-assign]
        op.batch_alter_table = recording.batch_alter_table  # type: ignore[method-assign]
        try:
            getattr(script.module, function)()
        except (Exception, SystemExit) as error:
            context.keep(Failed(function, type(error).__name__))
        finally:
            installed.__exit__(None, None, None)  # told of an exception, Alembic's would leave all in place


class Offline(MigrationContext):
    """A context without a database. What is executed on its connection goes nowhere, and is kept."""

    def __init__(self, dialect_name: str) -> None:
        self.revision = ""
        self.autocommit = False
        self.steps: list[Step] = []
        connection = create_mock_engine(f"{dialect_name}://", self.executed)
        super().__init__(connection.dialect, None, {"as_sql": True, "output_buffer": io.StringIO()})
        self.connection = self.impl.connection = cast(Connection, connection)

    def executed(self, statement: Any, *parameters: Any) -> None:
        """There are no rows: a revision that asks for them fails."""
        self.keep(ops.ExecuteSQLOp(statement))

    def execute(self, sql: Any, execution_options: Any = None) -> None:
        self.executed(sql)

    def keep(self, operation: Operation) -> None:
        self.steps.append(Step(self.revision, operation, self.autocommit))

    def taken(self) -> list[Step]:
        steps, self.steps = self.steps, []
        return steps

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        self.autocommit = True
        try:
            yield
        finally:
            self.autocommit = False


class Recording(Operations):
    """Keeps Alembic's own operations instead of doing them; those of others are done, into the void."""

    def __init__(self, context: Offline) -> None:
        super().__init__(context)
        self.offline = context

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if not is_alembics(operation):
            return super().invoke(operation)
        self.offline.keep(operation)
        return operation.to_table(self.migration_context) if isinstance(operation, ops.CreateTableOp) else None

    @contextmanager
    def batch_alter_table(
        self, table_name: str, schema: str | None = None, recreate: str = "auto", *args: Any, **options: Any
    ) -> Iterator[BatchOperations]:
        before = len(self.offline.steps)
        with super().batch_alter_table(table_name, schema, "never") as batch:
            batch.invoke = self.invoke  # type: ignore[method-assign]
            yield batch
        done = [step.operation for step in self.offline.steps[before:]]
        if recreate == "always" or (recreate == "auto" and self.offline.dialect.name == "sqlite" and copies(done)):
            self.offline.keep(Copied(table_name, schema))


def is_alembics(operation: ops.MigrateOperation) -> bool:
    return type(operation).__module__.startswith("alembic.")


def copies(done: list[Operation]) -> bool:
    """Whether SQLite, which can alter little, makes a new table of it."""
    return any(
        not isinstance(each, PLAIN_FOR_SQLITE)
        or (
            isinstance(each, ops.AddColumnOp)
            and isinstance(getattr(each.column.server_default, "arg", None), ClauseElement)
        )
        for each in done
    )
