"""What SQLAlchemy's tests say with ``bind`` and ``binds``, said with ``Databases``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, TableClause, create_engine, inspect
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import Mapper

from manybase import Database, Databases

UNBOUND = "unbound"


class GivenDatabases(Databases):
    """Databases that hand out what a test gave: also a ``Connection`` or a mock, which no declaration takes."""

    told: tuple[Any, dict[Any, Any]]
    given: dict[str, Any]

    def bind(self, name: str, *, asyncio: bool = False) -> Engine | Connection:
        if name == UNBOUND:
            raise UnboundExecutionError("The test gave no bind for this.")
        given = self.given.get(name)
        if isinstance(given, AsyncConnection):
            return given.sync_connection  # type: ignore[return-value]  # None only before it is connected
        return given or super().bind(name, asyncio=asyncio)

    def async_engine(self, name: str | None = None) -> Any:
        return self.given.get(name or "") or super().async_engine(name)


def declare(bind: Any, binds: Mapping[Any, Any]) -> GivenDatabases:
    """``bind`` as the default database, each further target of ``binds`` as one that claims its keys as models.

    Two more databases that nothing belongs to are always declared, for one alone could be routed to without looking.
    Without ``bind`` one of them is the default, and nobody can reach it.
    """
    targets: dict[int, tuple[Any, list[Any]]] = {} if bind is None else {id(bind): (bind, [])}
    for key, target in binds.items():
        targets.setdefault(id(target), (target, []))[1].extend(models_of(key))
    declared = [
        Database("elsewhere", "sqlite://", models=MetaData()),
        Database(UNBOUND, "sqlite://", models=MetaData(), default=bind is None),
    ]
    given = {}
    for number, (target, models) in enumerate(targets.values()):
        name, engine = f"bind_{number}", engine_of(target)
        if engine is not target:
            given[name] = target
        declared.append(Database(name, engine=engine, models=models, default=target is bind))
    databases = GivenDatabases(*declared)
    databases.told, databases.given = (bind, dict(binds)), given
    return databases


def models_of(key: Any) -> list[Any]:
    """A key of ``binds`` as ``models=`` takes it: a mixin is said by its mapped classes, and ``table()`` not at all."""
    if isinstance(key, type) and inspect(key, raiseerr=False) is None:
        subclasses: list[type] = key.__subclasses__()
        return [mapped for each in subclasses for mapped in models_of(each)]
    if isinstance(key, TableClause) and not isinstance(key, Table):
        return []
    return [key.class_ if isinstance(key, Mapper) else key]


def engine_of(target: Any) -> Engine | AsyncEngine:
    if isinstance(target, (Engine, AsyncEngine)):
        return target
    if isinstance(target, (Connection, AsyncConnection)):
        return target.engine
    return create_engine("sqlite://")
