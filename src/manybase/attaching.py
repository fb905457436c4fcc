"""Attaching: several SQLite files in one transaction on one connection, which commits all of them or none."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnClause, Connection, Engine, Select, Table, TableClause, TextClause, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolResetState
from sqlalchemy.sql import visitors
from sqlalchemy.util.concurrency import in_greenlet

from manybase.engines import Bind, Databases
from manybase.journals import check_journals
from manybase.sharing import NAMES_TABLES, SCHEMAS, quoted, send, sharing, stay_in_main
from manybase.tenants import AT

SHARING = "manybase: the engine that shares a connection"  # kept with the file's own engine, lives as long as it
NO_ROOM = re.compile("too many attached databases|already in use")
MAIN = {None: "main"}  # so that a table missing in the first file is not looked for in the others
DECIDED = {"isolation_level", "schema_translate_map"}  # options that mean one connection, not several files on it


class Files:
    """The SQLite files of a session's transaction: which came first, and which are attached to its connection.

    The first is ``main``, on a connection of its own engine. Each other one is attached when a statement with tables
    is for it. One that is first reached by ``text()`` or ``connection()``, or finds no room (SQLite attaches ten), has
    a connection of its own until the transaction ends.

    Connect hooks of an attached file's own engine do not run: PRAGMAs such as ``foreign_keys``, functions and
    collations are those of the first file's connection.
    """

    __slots__ = ("_apart", "_asyncio", "_attached", "_databases", "_main")

    def __init__(self, databases: Databases, *, asyncio: bool) -> None:
        self._databases = databases
        self._asyncio = asyncio
        self._main: tuple[str, Connection] | None = None
        self._attached: dict[str, Connection] = {}
        self._apart: set[str] = set()

    @property
    def main(self) -> Connection:
        """The connection that all of them share."""
        assert self._main is not None
        return self._main[1]

    @property
    def groups(self) -> dict[str, list[str]]:
        """The databases on one connection, the one whose COMMIT commits them first, by the name of that one."""
        return {} if self._main is None else {self._main[0]: [self._main[0], *self._attached]}

    @property
    def schemas(self) -> dict[str, str]:
        """What each database of the group is called on the connection."""
        schemas = {name: connection.dialect.alias for name, connection in self._attached.items()}  # type: ignore[attr-defined]
        return schemas if self._main is None else {self._main[0]: "main", **schemas}

    def check_journals(self, written: Collection[str]) -> None:
        """Raise ``AtomicityError`` where those of the group that were written cannot be committed at once."""
        if self._main is not None:
            names = {name: schema for name, schema in self.schemas.items() if name in written}
            check_journals(self._main[1], names)

    def bind(self, session: Session, name: str, engine: Bind, clause: Any, mapper: Any) -> Bind:
        """What a statement for a database connects to: its engine, or its Connection over that of the first file."""
        if self._main is None or self._main[0] == name or not self._is_file(name):
            return engine
        if name in self._apart or (self._asyncio and not in_greenlet()):  # outside of it, get_bind() only informs
            return engine
        attached = self._attached.get(name)
        if attached is None and self._may_attach(session, engine, clause, mapper):
            attached = self._attach(name, engine)
        return engine if attached is None else self._ready(session, attached)

    def given(self, session: Session, bind: Bind) -> Bind:
        """``bind=`` of the caller: for an attached file it is its Connection, never a second one to the same file."""
        name = self._databases.name_of(bind.engine)
        attached = None if name is None else self._attached.get(name)
        if attached is None or bind not in (attached, self._databases.bind(str(name), asyncio=self._asyncio)):
            return bind
        return self._ready(session, attached)

    def begin(self, name: str | None, connection: Connection) -> None:
        """A connection began its transaction: the first one to a file is what others are attached to."""
        if name is None or not self._is_file(name) or self.holds(connection):
            return
        if self._main is None or self._main[1].closed:
            self.forget()
            self._main = str(name), connection
        else:
            self._apart.add(str(name))

    def holds(self, connection: Connection) -> bool:
        """Whether it is the Connection of an attached file."""
        return connection in self._attached.values()

    def forget(self) -> None:
        self._main = None
        self._attached.clear()  # never closed: what they hold is the first one's, and back in its pool
        self._apart.clear()

    def _is_file(self, name: str) -> bool:
        """Of a database with tenants, each part is one."""
        return name.partition(AT)[0] in self._databases.files

    def _may_attach(self, session: Session, engine: Bind, clause: Any, mapper: Any) -> bool:
        assert self._main is not None
        options = self._main[1].get_execution_options()
        decided = {name for name in DECIDED if name in options and options[name] is not MAIN}
        return not (
            decided
            or self._databases.is_taken_over
            or session.twophase
            or DECIDED & {*engine.get_execution_options()}
            or names_tables_itself(clause)
        ) and bool(mapper is not None if clause is None else self._databases.router.candidates(clause))

    def _attach(self, name: str, engine: Bind) -> Connection | None:
        assert self._main is not None
        first, main = self._main
        alias = alias_of(name.partition(AT)[0], self._databases.files)
        share = sharing_engine(self._databases, name, engine.engine, alias, main)
        (path, *_), _ = share.dialect.create_connect_args(share.url)
        detach_on_return(main.engine.pool)
        schemas = main.connection.info.setdefault(SCHEMAS, {"main": first})
        schemas[alias] = name  # before ATTACH: a task cancelled in it leaves nothing behind
        try:
            send(main, f"ATTACH DATABASE ? AS {quoted(alias)}", (path,))
        except DBAPIError as error:
            del schemas[alias]
            if not NO_ROOM.search(str(error.orig)):
                raise
            self._apart.add(name)
            return None
        if not self._attached:
            main.execution_options(schema_translate_map=MAIN)
            event.listen(main, "before_cursor_execute", stay_in_main)
        attached = self._attached[name] = Connection(share, main.connection)
        return attached

    def _ready(self, session: Session, attached: Connection) -> Connection:
        assert self._main is not None
        main = self._main[1]
        if not main.connection.is_valid or not attached.connection.is_valid:
            for each in (main, *self._attached.values()):
                each.invalidate()  # one of them was, and what they hold is the same
        if session.in_nested_transaction():
            # The first file's savepoint of each level comes first, so that no other one's end takes it along.
            session.connection(bind_arguments={"bind": main.engine})
        return attached


def sharing_engine(databases: Databases, name: str, own: Engine, alias: str, main: Connection) -> Engine:
    kept: Engine | None = vars(own).get(SHARING)
    if kept is not None:
        return kept
    made: Engine = vars(own).setdefault(SHARING, sharing(own, alias, main.dialect))
    databases.remember(name, made)
    return made


def names_tables_itself(clause: Any) -> bool:
    """Whether a statement may name tables in text, which SQLAlchemy cannot qualify with the name of a file."""
    if clause is None:
        return False
    for each in visitors.iterate(clause):
        text = each.text if isinstance(each, TextClause) else None
        if isinstance(each, ColumnClause) and each.is_literal:
            text = each.name
        if isinstance(each, TableClause) and not isinstance(each, Table):
            return True
        if isinstance(each, Select) and any(isinstance(source, TextClause) for source in each.get_final_froms()):
            return True
        if text is not None and (each is clause or NAMES_TABLES.search(text)):
            return True
    return False


def alias_of(name: str, files: Iterable[str]) -> str:
    """The schema of an attached file: its database's name, changed where SQLite, blind to case, knows it already."""
    taken = {"main", "temp"}
    aliases: dict[str, str] = {}
    for each in sorted(files):
        alias = each
        while alias.lower() in taken:
            alias += "_"
        taken.add(alias.lower())
        aliases[each] = alias
    return aliases[name]


def detach_on_return(pool: Pool) -> None:
    if detach_files not in [*pool.dispatch.reset]:  # event.contains() goes by id(), and may mean a pool that is gone
        event.listen(pool, "reset", detach_files)


def detach_files(connection: Any, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
    """A connection goes back to its pool as it came, whatever ended the transaction."""
    schemas: Mapping[str, str] = record.info.pop(SCHEMAS, {}) if record is not None else {}
    if record is None or not schemas or state.terminate_only or not state.asyncio_safe:
        return
    try:
        if not state.transaction_was_reset:
            connection.rollback()
        cursor = connection.cursor()
        for alias in schemas:
            if alias != "main":
                cursor.execute(f"DETACH DATABASE {quoted(alias)}")
        cursor.close()
    except Exception:
        record.invalidate(soft=True)  # a result that nobody read to its end locks the file: the next user reconnects
