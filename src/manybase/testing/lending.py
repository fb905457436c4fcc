"""Lending: an engine whose pool gives out one shared connection, to everybody, until it is given back."""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop, Lock, get_running_loop
from threading import Lock as ThreadLock
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, event
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from manybase.errors import ConfigurationError
from manybase.search_path import SCHEMA
from manybase.testing.outer import OuterTransaction, RollbackConflict, Savepoint

# What SQLAlchemy sets on a connection before its transaction begins. Here that transaction has long begun.
TRANSACTION_OPTIONS = ("isolation_level", "postgresql_readonly", "postgresql_deferrable")
READS = re.compile(r"\s*(?:SELECT|SHOW|EXPLAIN|VALUES|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b))\b", re.I | re.S)
BEGINS = re.compile(r"\s*(?:BEGIN|START\s+TRANSACTION)\b", re.I)
ENDS = re.compile(r"\s*(?:COMMIT|END|ROLLBACK(?!\s+TO)|PREPARE\s+TRANSACTION|XA)\b", re.I)
NESTED = re.compile(r"\s*(?:SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT)\s+\w+$", re.I)


class Lender(Protocol):
    def allow(self, lending: Lending) -> None:
        """Raise where a session must not use this connection, as it would not see what was written elsewhere."""

    def opened(self, lending: Lending) -> None:
        """There is a connection to give back now."""


class Lending:
    """Puts a pool of its own into ``engine``, and takes one connection from the engine's pool when first needed."""

    def __init__(self, database: str, engine: Engine, lender: Lender) -> None:
        self.database = database
        self.engine = engine
        self.asyncio = engine.dialect.is_async
        self.loop: AbstractEventLoop | None = None
        self.outer: OuterTransaction | None = None
        self.lender = lender
        self._written = False
        self._pool = engine.pool
        self._lock = ThreadLock()
        self._turn: Lock | None = None
        # Engine.pool is what SQLAlchemy itself replaces in Engine.dispose().
        engine.pool = NullPool(cast("Any", self.borrow), dialect=engine.dialect)
        event.listen(engine, "before_cursor_execute", before_execute, retval=True)
        event.listen(engine, "set_connection_execution_options", without_transaction_options)
        event.listen(engine, "handle_error", note_error)

    @property
    def written(self) -> bool:
        """Sessions have committed writes to this connection, which no other connection sees."""
        return self._written or (self.outer is not None and self.outer.written)

    def borrow(self) -> BorrowedConnection:
        """The shared connection, in the hands of one session."""
        if not self.asyncio:
            with self._lock:
                return BorrowedConnection(self, self._outer_transaction())
        self._turn = self._turn or Lock()
        await_only(self._turn.acquire())
        try:
            return BorrowedConnection(self, self._outer_transaction())
        finally:
            self._turn.release()

    def stop(self) -> None:
        """From now on the engine's own pool serves again."""
        self.engine.pool = self._pool
        if event.contains(self.engine, "before_cursor_execute", before_execute):
            event.remove(self.engine, "before_cursor_execute", before_execute)
            event.remove(self.engine, "set_connection_execution_options", without_transaction_options)
            event.remove(self.engine, "handle_error", note_error)

    def end(self) -> None:
        """Nothing was written, and the connection is back in its pool; for an async engine, in its loop's greenlet."""
        self.stop()
        outer, self.outer = self.outer, None
        if outer is not None:
            self._written = outer.written
            outer.end()

    def drop(self) -> None:
        """As ``end``, but the connection is closed for good: its event loop is."""
        if self.outer is not None:
            self.outer.connection.invalidate()
        self.end()

    def _outer_transaction(self) -> OuterTransaction:
        if self.outer is None:
            if options := set(self.engine.get_execution_options()).intersection(TRANSACTION_OPTIONS):
                raise ConfigurationError(
                    f"Database {self.database!r}: {', '.join(sorted(options))} among the execution options of its "
                    "engine ends transactions of its own accord. For rollback(), pass isolation_level= to the engine."
                )
            self.loop = get_running_loop() if self.asyncio else None
            self.lender.allow(self)
            self.outer = self._open()
        return self.outer

    def _open(self) -> OuterTransaction:
        outer = OuterTransaction(self.database, self._pool.connect())
        try:
            begin(outer, self.engine.dialect.name)
            self.lender.opened(self)
        except BaseException:
            outer.end()
            raise
        return outer


class BorrowedConnection:
    """A DBAPI connection for one session: the shared one, but a commit or a rollback ends a savepoint."""

    def __init__(self, lending: Lending, outer: OuterTransaction) -> None:
        self._lending = lending
        self._outer = outer
        self._savepoint: Savepoint | None = None
        self.number = next(outer.numbers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outer.connection.dbapi_connection, name)

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        if self._lending.outer is not self._outer:
            raise RollbackConflict(
                self._lending.database,
                "the block has ended, and this transaction began in it. Close sessions before it ends.",
            )
        self._lending.lender.allow(self._lending)
        self._savepoint = self._outer.savepoint(self._savepoint)
        return self._outer.connection.cursor(*arguments, **options)

    def look_where(self, schema: str | None) -> None:
        """What a tenant has set for textual SQL lasts as long as the transaction, and here that is everybody's."""
        if schema is None and self._outer.schema is not None:
            self._outer.run("SET LOCAL search_path TO DEFAULT")
        self._outer.schema = schema if self._lending.engine.dialect.name == "postgresql" else None

    def before_write(self, statement: str) -> None:
        if ENDS.match(statement):
            raise RollbackConflict(
                self._lending.database,
                f"the program runs {statement.strip()!r} as a statement. Use commit() or rollback().",
            )
        if self._savepoint is not None:
            self._outer.note_write(self._savepoint)

    def note_error(self) -> None:
        if self._savepoint is not None:
            self._outer.note_error(self._savepoint)

    def commit(self) -> None:
        if self._savepoint is not None and self._lending.outer is self._outer:
            self._outer.commit(self._savepoint)
        self._savepoint = None

    def rollback(self) -> None:
        savepoint, self._savepoint = self._savepoint, None
        if savepoint is not None and self._lending.outer is self._outer:
            self._outer.roll_back(savepoint)

    def close(self) -> None:
        self.rollback()

    def terminate(self) -> None:
        """What SQLAlchemy calls in place of ``close`` where no I/O may happen."""
        if in_greenlet():
            self.rollback()
        self._savepoint = None


def begin(outer: OuterTransaction, dialect: str) -> None:
    """Begin where the driver does not, or not before a SAVEPOINT."""
    driver_connection: Any = outer.connection.driver_connection
    if dialect in ("mysql", "mariadb") or (dialect == "sqlite" and not driver_connection.in_transaction):
        outer.run("BEGIN")


def before_execute(
    connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
) -> tuple[str, object]:
    """Note who writes, and keep the program's own transaction statements from ending the outer transaction."""
    borrowed = connection.connection.dbapi_connection
    if not isinstance(borrowed, BorrowedConnection):
        return statement, parameters
    borrowed.look_where(vars(connection).get(SCHEMA))
    if READS.match(statement):
        return statement, parameters
    if BEGINS.match(statement):
        return "SELECT 1", parameters  # it has begun
    borrowed.before_write(statement)
    if NESTED.match(statement):  # each Connection counts its savepoints from 1, and here they share a transaction
        return f"{statement}_{borrowed.number}", parameters
    return statement, parameters


def note_error(context: ExceptionContext) -> None:
    """Only PostgreSQL stops a whole transaction at a failed statement."""
    if context.dialect.name != "postgresql" or context.connection is None or context.is_disconnect:
        return
    borrowed = context.connection.connection.dbapi_connection
    if isinstance(borrowed, BorrowedConnection):
        borrowed.note_error()


def without_transaction_options(_: Connection, options: dict[str, Any]) -> None:
    if options.get("isolation_level") == "AUTOCOMMIT":
        raise ConfigurationError("Nothing in autocommit can be rolled back: run this test without rollback().")
    for option in TRANSACTION_OPTIONS:
        options.pop(option, None)
