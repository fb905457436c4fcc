"""manybase's sessions under the names and constructors that SQLAlchemy's tests know."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isfunction
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy.ext.asyncio
import sqlalchemy.orm
from declare import GivenDatabases, declare
from sqlalchemy import event
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import SessionEvents, sessionmaker

import manybase
import manybase.session

_shared: dict[int, GivenDatabases] = {}


class Session(manybase.Session):
    """A manybase session that is told its databases the way SQLAlchemy's are: ``bind``, ``binds``, ``bind_mapper()``.

    Only this is translated. Routing, executing, flushing and committing are manybase's.
    """

    _constructed: ClassVar[int] = 0
    databases: GivenDatabases

    def __init__(
        self, bind: Any = None, *, binds: Any = None, databases: GivenDatabases | None = None, **options: Any
    ) -> None:
        Session._constructed += 1
        super().__init__(databases or declared(bind, binds or {}), **options)

    if not TYPE_CHECKING:  # it replaces SQLAlchemy's attribute, as manybase's property does

        @property
        def bind(self):
            return None if self.databases.told[0] is None else super().bind

        @bind.setter
        def bind(self, bind):
            if bind is not None:  # SQLAlchemy's constructor assigns None
                self._redeclare(bind, self.databases.told[1])

    def bind_mapper(self, mapper: Any, bind: Any) -> None:
        self._declare_also(mapper, bind)

    def bind_table(self, table: Any, bind: Any) -> None:
        self._declare_also(table, bind)

    def _declare_also(self, key: Any, target: Any) -> None:
        bind, binds = self.databases.told
        self._redeclare(bind, {**binds, key: target})

    def _redeclare(self, bind: Any, binds: dict[Any, Any]) -> None:
        self.databases = declare(bind, binds)
        self.databases.load()


class AsyncSession(manybase.AsyncSession):
    """The same for asyncio."""

    sync_session_class: type[manybase.Session] = Session
    sync_session: Session  # pyright: ignore[reportIncompatibleVariableOverride]  # the narrower class is the point

    def __init__(self, bind: Any = None, *, binds: Any = None, **options: Any) -> None:
        super().__init__(declared(bind, binds or {}), **options)

    if not TYPE_CHECKING:

        @property
        def bind(self):
            return None if self.sync_session.databases.told[0] is None else super().bind

        @bind.setter
        def bind(self, bind):
            self.sync_session.bind = bind

    def bind_mapper(self, mapper: Any, bind: Any) -> None:
        self.sync_session.bind_mapper(mapper, bind)

    def bind_table(self, table: Any, bind: Any) -> None:
        self.sync_session.bind_table(table, bind)


def declared(bind: Any, binds: Mapping[Any, Any]) -> GivenDatabases:
    """One declaration for all sessions on the engine the tests share, so that what it remembers is tested as well."""
    from sqlalchemy.testing import config

    if binds or bind is not config.db:
        return declare(bind, binds)
    if id(bind) not in _shared:
        _shared[id(bind)] = declare(bind, {})
    return _shared[id(bind)]


def swap_in() -> None:
    """From here on, who imports or makes a session gets manybase's."""
    for module, name, session_class in (
        (sqlalchemy.orm, "Session", Session),
        (sqlalchemy.orm._orm_constructors, "Session", Session),
        (sqlalchemy.ext.asyncio, "AsyncSession", AsyncSession),
    ):
        setattr(module, name, session_class)
    set_default_class(sessionmaker, Session)
    set_default_class(async_sessionmaker, AsyncSession)


def hooks() -> list[tuple[str, Any]]:
    """The session events manybase listens to, each with its listener."""
    names = [name for name, value in vars(SessionEvents).items() if isfunction(value) and not name.startswith("_")]
    listeners = [value for value in vars(manybase.session).values() if isfunction(value)]
    return [(name, each) for name in names for each in listeners if event.contains(manybase.Session, name, each)]


def put_back(wanted: list[tuple[str, Any]]) -> None:
    """Some tests end by removing each listener there is, so that of manybase's nothing but routing would be tested."""
    for name, listener in wanted:
        if not event.contains(manybase.Session, name, listener):
            event.listen(manybase.Session, name, listener)


def set_default_class(maker: Any, session_class: type) -> None:
    maker.__init__.__kwdefaults__["class_"] = session_class
