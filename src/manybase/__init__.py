"""One SQLAlchemy session over many databases."""

from manybase.aio import AsyncSession
from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import (
    AmbiguousRoute,
    CommitError,
    ConfigurationError,
    CrossDatabaseError,
    ManybaseError,
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
    "CommitError",
    "ConfigurationError",
    "CrossDatabaseError",
    "Database",
    "Databases",
    "ManybaseError",
    "Model",
    "Overloaded",
    "PartialCommitError",
    "ReadOnlyError",
    "Route",
    "RoutingError",
    "Session",
    "UnknownDatabase",
    "cross_key",
]
