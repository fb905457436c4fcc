"""Executor: loads what was fetched into DuckDB, and runs there what is left of the statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Boolean, Date, DateTime, Enum, Float, Integer, String, TypeDecorator
from sqlalchemy.sql import visitors
from sqlalchemy.types import NullType
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from manybase.federation.absent import null_kept
from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.values import Column
from manybase.federation.duckdb.workspace import Result, Workspace
from manybase.federation.fragments import Fragment, is_column
from manybase.federation.log import logger
from manybase.federation.reading import CHUNK, Rows, processed

if TYPE_CHECKING:
    from manybase.federation.execution import Execution

TRIES = 5
T = TypeVar("T")
# What comes of a column; what SQLAlchemy takes an expression for, it need not be: extract() and sums may be Decimals.
GIVEN: dict[type, set[type]] = {Integer: {int, bool, type(None)}, Boolean: {bool, type(None)}}
NATIVE = (Integer, String, Boolean, Float, Date)  # DuckDB gives back what it was given


def run(execution: Execution, sql: str, parameters: Any) -> Iterator[Rows]:
    """The rows, in chunks. Its tables are gone when the last one is read, or nobody reads on.

    What fails inside of DuckDB's optimizer runs once more without most of it.
    """
    execution.staging.fetch_all(execution.plan.fragments)
    try:
        workspace, result = begun(execution, sql, parameters)
    except dbapi.GivenUp:
        raise
    except dbapi.InternalError:
        logger.warning("DuckDB failed inside of itself; it runs the select once more, almost without its optimizer.")
        workspace, result = begun(execution, sql, parameters, optimizes=False)
    return rows_of(result, workspace, decoders(execution))


def begun(execution: Execution, sql: str, parameters: Any, *, optimizes: bool = True) -> tuple[Workspace, Result]:
    """Started; anew where another one's failure ended it."""
    for _ in range(TRIES - 1):
        try:
            return started(execution, sql, parameters, optimizes=optimizes)
        except dbapi.GivenUp:
            continue
    return started(execution, sql, parameters, optimizes=optimizes)


def started(execution: Execution, sql: str, parameters: Any, *, optimizes: bool) -> tuple[Workspace, Result]:
    limits = execution.limits
    spill = None if limits.spill_directory is None else str(limits.spill_directory)
    workspace = Workspace(
        memory_limit=f"{limits.memory}B",
        spill_directory=spill,
        optimizes=optimizes,
        dialect=execution.compiled.dialect,
        part=f"A statement with {execution.why}",
    )
    try:
        return workspace, apart(lambda: executed(workspace, execution, sql, parameters), workspace)
    except BaseException:
        workspace.close()
        raise


def rows_of(result: Result, workspace: Workspace, used: list[tuple[int, Any]]) -> Iterator[Rows]:
    with workspace:
        while rows := apart(lambda: result.fetchmany(CHUNK), workspace):
            yield processed(rows, used)


def executed(workspace: Workspace, execution: Execution, sql: str, parameters: Any) -> Result:
    for fragment in execution.plan.fragments:
        fetched = execution.staging.fetched[fragment]
        workspace.load(fragment.name, columns(fragment, execution), fetched.rows)
    return workspace.execute(sql, parameters, carried=execution.plan.carried)


def columns(fragment: Fragment, execution: Execution) -> list[Column]:
    home, dialect = execution.staging.connections[fragment].dialect, execution.compiled.dialect
    found = []
    rows = execution.staging.fetched[fragment].rows
    for place, output in enumerate(fragment.outputs):
        folds = is_loose(output.expression, fragment.database, dialect)
        carried = output in execution.plan.carried_outputs or not output.uses
        type_ = output.type
        expected = next((kinds for kind, kinds in GIVEN.items() if isinstance(type_, kind)), None)
        if (
            expected is not None
            and not is_column(output.expression)
            and not {type(row[place]) for row in rows} <= expected
        ):
            type_ = NullType()
        found.append(Column(output.name, type_, home, carried=carried, collation="ci" if folds else None))
    return found or [Column("c0", Integer(), home)]


def is_loose(expression: Any, database: str, dialect: Any) -> bool:
    """Whether its database takes several spellings of it for the same: that of a function, if of its columns."""
    if not isinstance(expression.type, (String, NullType)) or isinstance(expression.type, Enum):
        return False
    columns: list[Any] = [each for each in visitors.iterate(expression) if is_column(each)]
    texts: list[Any] = [each.type for each in columns if isinstance(each.type, String)] or [expression.type]
    return all(dialect.folds(database, each) for each in texts)


def decoders(execution: Execution) -> list[tuple[int, Callable[[Any], Any]]]:
    dialect, carried = execution.compiled.dialect, set(execution.plan.carried)
    found = []
    for place, type_ in enumerate(execution.plan.types):
        process = None if place in carried else type_.dialect_impl(dialect).result_processor(dialect, None)
        process = null_kept(process, type_, dialect)
        if process is not None:
            found.append((place, process))
    return found


def is_native(type_: Any) -> bool:
    """Whether its values need no care to come back as they were."""
    if isinstance(type_, (TypeDecorator, Enum)):
        return False
    return isinstance(type_, NATIVE) or (isinstance(type_, DateTime) and not type_.timezone)


def apart(work: Callable[[], T], workspace: Workspace) -> T:
    """What ``work`` returns; under asyncio it works in a thread, and a cancelled task ends it."""
    if not in_greenlet():
        return work()
    return await_only(in_thread(work, workspace))


async def in_thread(work: Callable[[], T], workspace: Workspace) -> T:
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        workspace.interrupt()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # else asyncio complains that nobody looked at it
        raise
