"""Federation: what one cross-database select may take."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Federation:
    """Limits of a select over several databases: ``Databases(..., federation=Federation(...))``, or for one statement
    ``execution_options(federation=Federation(...))``. What would exceed one raises ``FederationLimit``.

    ``max_rows`` and ``max_bytes`` (as estimated from the Python values) bound what all fragments together bring,
    ``timeout`` the seconds until the last of them is there. ``memory`` is what DuckDB may use, in bytes; beyond, it
    writes to ``spill_directory`` (default: the system's temporary directory). What takes longer than ``slow`` seconds
    is a warning on the logger ``manybase.federation``.
    """

    max_rows: int = 5_000_000
    max_bytes: int = 1_000_000_000
    timeout: float = 60.0
    memory: int = 1_000_000_000
    slow: float = 1.0
    spill_directory: str | os.PathLike[str] | None = None
