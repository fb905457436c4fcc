"""Execution: one run of a plan, with the executor that can do it, and its rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect

from manybase.errors import FederationLimit, UnsupportedStatement
from manybase.federation import log
from manybase.federation.absent import filled, is_own
from manybase.federation.lazy import LazyRows
from manybase.federation.limits import Federation
from manybase.federation.measuring import Measured
from manybase.federation.python.evaluating import Row
from manybase.federation.reading import CHUNK, Rows
from manybase.federation.staging import Staging, dialect_of

if TYPE_CHECKING:
    from manybase.session import Session

EXECUTORS = ("python", "duckdb")


class Execution:
    """What a cursor runs: fetches the fragments, executes the rest, hands out rows."""

    def __init__(self, session: Session, compiled: Any, values: dict[str, Any], options: Mapping[str, Any]) -> None:
        self.compiled = compiled
        self.plan = compiled.plan
        self.values = values
        self.limits: Federation = options.get("federation") or session.databases.federation
        self.staging = Staging(session, self.plan, values, self.limits)
        self.streams = bool(options.get("stream_results"))
        self.executor, self.why = choose(self.plan, options.get("federation_executor"))
        report: list[Execution] | None = options.get("federation_report")
        if report is not None:
            report.append(self)
        self.measured = Measured()
        self._rows: Iterator[Row] = iter(())
        self._is_lazy = False
        self._is_finished = False

    def run(self, sql: str, parameters: Any) -> list[Any]:
        """Start; what a cursor describes its columns with."""
        with self.measured.working():
            try:
                self.staging.begin()
                chunks = self.chunks(sql, parameters)
            except BaseException:
                with suppress(FederationLimit):  # there is an error already
                    self.staging.hear_all()
                raise
            self.staging.hear_all()
        self._rows = itertools.chain.from_iterable(self.measured.start(self.filled(chunks)))
        return [(f"c{number}", None, None, None, None, None, None) for number in range(len(self.plan.types))]

    def chunks(self, sql: str, parameters: Any) -> Iterator[Rows]:
        if self.staging.estimate():
            self.compiled.program_again()
            self.plan.prepared.clear()  # it may use more columns
        if self.executor == "python":
            found: Iterator[Rows] = self.plan.program.run(self.staging, streams=self.streams)
            return found
        from manybase.federation.duckdb.executor import run

        return run(self, sql, parameters)

    def filled(self, chunks: Iterator[Rows]) -> Iterator[Rows]:
        """The rows, with what the types of their columns make of NULL."""
        session = self.staging.session
        homes: dict[int, Dialect] | None = self.plan.fills.get(session._asyncio)
        if homes is None:
            homes = self.plan.fills[session._asyncio] = self.own_types()
        return filled(chunks, self.plan.types, homes) if homes else chunks

    def own_types(self) -> dict[int, Dialect]:
        """The columns of the result whose types may make something of NULL, and the dialects of their databases."""
        session, found = self.staging.session, dict[int, Dialect]()
        for place, (type_, origin) in enumerate(zip(self.plan.types, self.plan.origins, strict=True)):
            dialect = dialect_of(session, origin.database)
            if is_own(type_, dialect):
                found[place] = dialect
        return found

    def fetchone(self) -> Row | None:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> Rows:
        return list(itertools.islice(self._rows, size))

    def fetchall(self) -> Sequence[Row]:
        if not self.plan.makes_entities or self.executor != "python" or self.streams or self.staging.rows <= CHUNK:
            return list(self._rows)
        rows = self._until_read()
        first = next(rows, None)
        return [] if first is None else LazyRows(first, rows)

    def _until_read(self) -> Iterator[Row]:
        """All that are left. SQLAlchemy closes the cursor before it reads them: the end comes when they are read."""
        rows, self._is_lazy = self._rows, True
        try:
            yield from rows
        finally:
            self.finish()

    def close(self) -> None:
        if not self._is_lazy:
            self.finish()

    def finish(self) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        self.measured.close()
        log.tell(self.executor, self.staging, self.measured)
        self._rows = iter(())
        for each in self.staging.history:
            each.release()


def choose(plan: Any, asked: str | None) -> tuple[str, str]:
    """The executor of a plan, and why that one."""
    if asked is not None and asked not in EXECUTORS:
        raise UnsupportedStatement(f"The executor {asked!r}", "there is none of that name", "Known: python, duckdb.")
    if asked == "duckdb":
        return "duckdb", "asked for"
    if plan.program is not None:
        return "python", "it does all that is left"
    if asked == "python":
        raise UnsupportedStatement(
            plan.beyond, "the executor in plain Python, which was asked for, does not do it", "Leave the choice open."
        )
    return "duckdb", plan.beyond
