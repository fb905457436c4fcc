"""One SQLAlchemy session over many databases."""

from manybase.aio import AsyncSession
from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import (
    AmbiguousRoute,
    AtomicityError,
    CommitError,
    ConfigurationError,
    CrossDatabaseError,
    InDoubtError,
    ManybaseError,
    NotCommitted,
    Overloaded,
    PartialCommitError,
    ReadOnlyError,
    RoutingError,
    UnknownDatabase,
)
from manybase.models import Model, cross_key
from manybase.routing import Route
from manybase.session import Session

__all__ = [
    "AmbiguousRoute",
    "AsyncSession",
    "AtomicityError",
    "CommitError",
    "ConfigurationError",
    "CrossDatabaseError",
    "Database",
    "Databases",
    "InDoubtError",
    "ManybaseError",
    "Model",
    "NotCommitted",
    "Overloaded",
    "PartialCommitError",
    "ReadOnlyError",
    "Route",
    "RoutingError",
    "Session",
    "UnknownDatabase",
    "cross_key",
]
