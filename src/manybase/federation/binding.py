"""Binding: what a session connects to for a select over several databases. Light: it imports the rest when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from manybase.federation.semantics import DIALECT, semantics_of
from manybase.participants import url_of

if TYPE_CHECKING:
    from manybase.engines import Databases


def federated_bind(databases: Databases, names: frozenset[str]) -> Engine:
    """The engine for selects over these databases; one for each kind of semantics."""
    engine = databases.federated.get(names)
    if engine is None:
        engine = databases.federated[names] = make_engine(databases, names)
    return engine


def make_engine(databases: Databases, names: frozenset[str]) -> Engine:
    from manybase.federation.dialect import make_federated_engine

    backends = {name: backend_of(databases, name) for name in databases.names}
    semantics = semantics_of(*(backends[name] for name in names))
    known: list[Any] = list(databases.federated.values())
    same = next((each for each in known if each.dialect.semantics is semantics), None)
    return same or make_federated_engine(databases.router, semantics, backends)


def backend_of(databases: Databases, name: str) -> str:
    url = url_of(databases, name)
    return "postgresql" if url is None else url.get_backend_name()


def is_federated(connection: Connection) -> bool:
    return connection.dialect.name == DIALECT


def serve(connection: Connection, session: Any) -> None:
    """From now on, its fragments come through the connections of ``session``."""
    made: Any = connection.connection.dbapi_connection
    made.session = session
