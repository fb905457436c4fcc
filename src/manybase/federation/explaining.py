"""Explaining: finds out how a statement would be answered, or runs it once and tells what that took."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import Dialect, event
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.orm import ORMExecuteState, Query

from manybase.errors import FederationError
from manybase.federation.binding import federated_bind
from manybase.federation.choosing import in_order
from manybase.federation.duckdb.root import imported
from manybase.federation.execution import Execution, choose
from manybase.federation.explanation import ExplainedFragment, Explanation
from manybase.federation.fragments import Fragment
from manybase.federation.keys import Sending
from manybase.federation.measuring import Taken, rounded, taken
from manybase.federation.plan import Plan
from manybase.federation.preparing import prepare, sending_to
from manybase.federation.python.wording import steps
from manybase.federation.staging import dialect_of
from manybase.routing import Across

Session: TypeAlias = Any  # ours, which is above
ALONE = "one database answers it"
REPORT = "federation_report"  # an execution option: a list, to which each execution adds itself
EXPANDED = re.compile(r"__\[POSTCOMPILE_[^\]]*\]")  # where SQLAlchemy writes values, or a list of them, at the end
SCHEMA = re.compile(r"__\[SCHEMA_(?:_none\]\.|([^\]]*)\])")  # where it writes the name of an attached file
NEXT_LINE = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class Asked:
    """What a session is about to run, as its hooks have left it."""

    statement: Any
    arguments: dict[str, Any]
    options: Any


def explain(session: Session, statement: Any, *, analyze: bool) -> Explanation:
    if isinstance(statement, Query):
        statement = statement.__clause_element__()
    if analyze and not getattr(statement, "is_select", False):
        raise FederationError("explain(analyze=True) runs the statement, and this is no SELECT. Leave analyze out.")
    asked = as_asked(session, statement)
    clause, mapper = asked.arguments.get("clause", statement), asked.arguments.get("mapper")
    candidates = session._candidates(clause, mapper)
    database = session._one_of(candidates, asked.arguments.get("database") or named_by(asked))
    if not isinstance(candidates, Across):
        explained = alone(session, asked, database)
        return analyzed_alone(session, statement, explained) if analyze else explained
    report: list[Execution] = []
    if analyze:
        read_all(session, statement, {REPORT: report})
    if report:  # else a hook of the caller's has answered it
        return analyzed(session, report[0])  # others are of loads that its rows asked for
    compiled: Any = asked.statement.compile(dialect=federated_bind(session.databases, candidates).dialect)
    executor, why = choose(compiled.plan, asked.options.get("federation_executor"))
    if executor == "duckdb":
        imported(f"A statement with {why}")
    return explained_plan(session, compiled, executor, why)


def named_by(asked: Asked) -> str | None:
    name: str | None = asked.options.get("database")
    return name


def as_asked(session: Session, statement: Any) -> Asked:
    """The statement after the session's hooks, and what else is said about it; it does not run."""
    caught: list[Asked] = []

    def catch(state: ORMExecuteState) -> Any:
        caught.append(Asked(state.statement, dict(state.bind_arguments), state.execution_options))
        return IteratorResult(SimpleResultMetaData([]), iter(()))

    event.listen(session, "do_orm_execute", catch)
    try:
        with session.no_autoflush:
            session.execute(statement)
    finally:
        event.remove(session, "do_orm_execute", catch)
    return caught[0] if caught else Asked(statement, {}, {})  # a hook of the caller's has answered it


# ---- one database


def alone(session: Session, asked: Asked, database: str) -> Explanation:
    sql = written(asked.statement, dialect_of(session, database))
    fragment = ExplainedFragment(name="_f0", database=database, role="primary", sql=sql)
    return Explanation(fragments=(fragment,), executor=None, reason=ALONE)


def analyzed_alone(session: Session, statement: Any, explained: Explanation) -> Explanation:
    started = time.perf_counter()
    rows = read_all(session, statement, {})
    ms = rounded(time.perf_counter() - started)
    (fragment,) = explained.fragments
    ran = replace(fragment, rows=rows, ms=ms, statements=1)
    return replace(explained, fragments=(ran,), result_rows=rows, rows=rows, ms=ms)


def read_all(session: Session, statement: Any, options: dict[str, Any]) -> int:
    """How many rows it has; they are read and dropped."""
    count = 0

    def drop(row: Any) -> int:
        nonlocal count
        count += 1
        return 0

    session.execute(statement, execution_options=options).unique(drop).all()
    return count


# ---- several databases


def explained_plan(session: Session, compiled: Any, executor: Any, why: str) -> Explanation:
    plan: Plan = compiled.plan
    fragments = tuple(planned(session, plan, executor))
    return Explanation(fragments=fragments, executor=executor, reason=why, **rest(compiled, executor))


def rest(compiled: Any, executor: str) -> dict[str, Any]:
    if executor == "duckdb":
        return {"sql": masked(str(compiled))}
    return {"steps": tuple(steps(compiled.plan.program))}


def planned(session: Session, plan: Plan, executor: str) -> Iterator[ExplainedFragment]:
    top = plan.program.top if executor == "python" else None
    known: list[Fragment] = []
    for fragment in fetched_in_order(plan, executor):
        dialect = dialect_of(session, fragment.database)
        reduced = dict(reducing(plan, fragment, known, dialect))
        first = top is not None and fragment is top.fragment
        statement = prepare(plan, fragment, tuple((each, "keys") for each in reduced), first=first).statement
        yield ExplainedFragment(
            name=fragment.name,
            database=fragment.database,
            role="primary",
            sql=written(statement, dialect),
            reduced_by=tuple(dict.fromkeys(each.name for each in reduced.values())),
            estimated_rows=1 if fragment.is_small else fragment.estimate,
        )
        known.append(fragment)


def fetched_in_order(plan: Plan, executor: str) -> list[Fragment]:
    if executor == "duckdb":
        return in_order(plan.fragments)
    program = plan.program
    if program.top is not None:
        return sorted(in_order(program.fragments), key=lambda each: each is not program.top.fragment)
    return sorted(in_order(program.fragments), key=lambda each: each is program.probe)


def reducing(
    plan: Plan, fragment: Fragment, known: list[Fragment], dialect: Dialect
) -> Iterator[tuple[Sending, Fragment]]:
    """How the keys of fragments that are ``known`` by then get to the database of this one."""
    for number, reducer in enumerate(fragment.reducers):
        sent = sending_to(plan, fragment, number, dialect) if reducer.outer in known else None
        if sent is not None:
            yield sent, reducer.outer


def analyzed(session: Session, execution: Execution) -> Explanation:
    explained = explained_plan(session, execution.compiled, execution.executor, execution.why)
    took = {each.fragment.name: each for each in taken(execution.staging)}
    fragments = {each.name: with_numbers(each, took.get(each.name)) for each in explained.fragments}
    return replace(
        explained,
        fragments=tuple(fragments[name] for name in dict.fromkeys([*took, *fragments])),
        result_rows=execution.measured.rows,
        rows=sum(each.rows for each in took.values()),
        bytes=sum(each.bytes for each in took.values()),
        ms=rounded(execution.measured.seconds),
    )


def with_numbers(each: ExplainedFragment, took: Taken | None) -> ExplainedFragment:
    if took is None:
        return replace(each, rows=0, bytes=0, ms=0.0, statements=0)
    sql = masked(took.statements[-1]) if took.statements else each.sql
    count = len(took.statements)
    return replace(each, sql=sql, rows=took.rows, keys=took.keys, bytes=took.bytes, ms=took.ms, statements=count)


# ---- SQL


def written(statement: Any, dialect: Dialect) -> str:
    return masked(str(statement.compile(dialect=dialect)))


def masked(sql: str) -> str:
    """On one line, and with a placeholder wherever SQLAlchemy would still write values."""
    return NEXT_LINE.sub(" ", SCHEMA.sub(r"\1", EXPANDED.sub("...", sql))).strip()
