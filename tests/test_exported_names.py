"""What `from manybase import ...` gives. A guard that never leaves: a name that is public stays."""

import manybase

NAMES = [
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


def test_names() -> None:
    """These, sorted, and nothing else: add a name here when it becomes public, remove one only with a major version."""
    assert NAMES == manybase.__all__ == sorted(manybase.__all__)


def test_nothing_else_is_in_sight() -> None:
    """Besides the names there are only manybase's own modules, and what imports the names when they are used."""
    importing = {"HOMES", "TYPE_CHECKING", "import_module"}
    others = {name for name in vars(manybase) if not name.startswith("__")} - {*NAMES, *importing}

    assert {"module"} >= {type(getattr(manybase, name)).__name__ for name in others}


def test_docstrings() -> None:
    """Each says in its own words, in one sentence first, what the caller gets."""
    public = {name: getattr(manybase, name) for name in NAMES}
    inherited = [name for name, value in public.items() if isinstance(value, type) and not vars(value).get("__doc__")]

    assert [] == inherited
    assert {"."} == {(value.__doc__ or "").strip().split("\n\n")[0][-1:] for value in public.values()}


def test_origin() -> None:
    """Each is manybase's own: SQLAlchemy's names are imported from SQLAlchemy."""
    assert {"manybase"} == {getattr(manybase, name).__module__.split(".")[0] for name in NAMES}
