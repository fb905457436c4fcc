"""Step: one thing that a revision does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alembic.operations import ops


@dataclass(frozen=True)
class Copied:
    """A batch that copies the table into a new one, which takes its place."""

    table_name: str
    schema: str | None


@dataclass(frozen=True)
class Emptied:
    """All rows of a table deleted."""

    table_name: str
    schema: str | None


@dataclass(frozen=True)
class Compacted:
    """A table written anew for the sake of the disk; ``None`` for all tables."""

    table_name: str | None
    schema: str | None


@dataclass(frozen=True)
class Dropped:
    """A schema or a whole database, gone."""

    kind: Literal["schema", "database"]
    name: str


@dataclass(frozen=True)
class Failed:
    """The rest of a revision, of which nothing is known: ``function`` raised ``error`` without a database."""

    function: str
    error: str


Operation = ops.MigrateOperation | Copied | Emptied | Compacted | Dropped | Failed


@dataclass(frozen=True)
class Step:
    """``autocommit``: done outside a transaction."""

    revision: str
    operation: Operation
    autocommit: bool = False
