"""One SQLAlchemy session over many databases."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manybase.aio import AsyncSession
    from manybase.database import Database, Replica
    from manybase.directories import TenantDirectory, TenantTable
    from manybase.engines import Databases
    from manybase.errors import (
        AmbiguousRoute,
        AtomicityError,
        CommitError,
        ConfigurationError,
        CrossDatabaseError,
        DestructiveMigration,
        DirectoryUnavailable,
        FederationError,
        FederationLimit,
        InDoubtError,
        InvalidPosition,
        ManybaseError,
        MigrationError,
        MigrationFailed,
        MigrationLocked,
        NoReplica,
        NotCommitted,
        Overloaded,
        PartialCommitError,
        PartlyMigrated,
        PendingMigrations,
        ReadOnlyError,
        RoutingError,
        TenantMismatch,
        UnknownDatabase,
        UnknownTenant,
        UnsupportedStatement,
    )
    from manybase.federation.explanation import Explanation
    from manybase.federation.limits import Federation
    from manybase.models import Model, cross_key
    from manybase.position import Position
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
    "DirectoryUnavailable",
    "Explanation",
    "Federation",
    "FederationError",
    "FederationLimit",
    "InDoubtError",
    "InvalidPosition",
    "ManybaseError",
    "MigrationError",
    "MigrationFailed",
    "MigrationLocked",
    "Model",
    "NoReplica",
    "NotCommitted",
    "Overloaded",
    "PartialCommitError",
    "PartlyMigrated",
    "PendingMigrations",
    "Position",
    "ReadOnlyError",
    "Replica",
    "Route",
    "RoutingError",
    "Session",
    "TenantDirectory",
    "TenantMismatch",
    "TenantTable",
    "UnknownDatabase",
    "UnknownTenant",
    "UnsupportedStatement",
    "cross_key",
]

# Imported when first used: the command line, and the pytest plugin in every run, need hardly any of it.
HOMES = {"AsyncSession": "aio", "Database": "database", "Databases": "engines", "Model": "models", "Route": "routing"}
HOMES |= {"Explanation": "federation.explanation", "Federation": "federation.limits", "Position": "position"}
HOMES |= {"TenantDirectory": "directories", "TenantTable": "directories"}
HOMES |= {"Replica": "database", "Session": "session", "cross_key": "models"}  # all others are errors


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'manybase' has no attribute {name!r}")
    found: object = getattr(import_module(f"manybase.{HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
