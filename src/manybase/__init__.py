"""One SQLAlchemy session over many databases."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manybase.aio import AsyncSession
    from manybase.database import Database
    from manybase.engines import Databases
    from manybase.errors import (
        AmbiguousRoute,
        AtomicityError,
        CommitError,
        ConfigurationError,
        CrossDatabaseError,
        DestructiveMigration,
        FederationError,
        FederationLimit,
        InDoubtError,
        ManybaseError,
        MigrationError,
        MigrationFailed,
        MigrationLocked,
        NotCommitted,
        Overloaded,
        PartialCommitError,
        PartlyMigrated,
        PendingMigrations,
        ReadOnlyError,
        RoutingError,
        UnknownDatabase,
        UnsupportedStatement,
    )
    from manybase.federation.explanation import Explanation
    from manybase.federation.limits import Federation
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
    "DestructiveMigration",
    "Explanation",
    "Federation",
    "FederationError",
    "FederationLimit",
    "InDoubtError",
    "ManybaseError",
    "MigrationError",
    "MigrationFailed",
    "MigrationLocked",
    "Model",
    "NotCommitted",
    "Overloaded",
    "PartialCommitError",
    "PartlyMigrated",
    "PendingMigrations",
    "ReadOnlyError",
    "Route",
    "RoutingError",
    "Session",
    "UnknownDatabase",
    "UnsupportedStatement",
    "cross_key",
]

# Imported when first used: the command line, and the pytest plugin in every run, need hardly any of it.
HOMES = {"AsyncSession": "aio", "Database": "database", "Databases": "engines", "Model": "models", "Route": "routing"}
HOMES |= {"Session": "session", "cross_key": "models"}
HOMES |= {"Explanation": "federation.explanation", "Federation": "federation.limits"}  # all others are errors


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'manybase' has no attribute {name!r}")
    found: object = getattr(import_module(f"manybase.{HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
