"""Extras: packages that only some programs need, and what to say where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from manybase.errors import ConfigurationError


@contextmanager
def needing(package: str, *, extra: str) -> Iterator[None]:
    """Around an import: ``ConfigurationError`` where it fails for want of this package, which the extra installs."""
    try:
        yield
    except ImportError as error:  # an "alembic" folder in the working directory is found, and has nothing in it
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ConfigurationError(
            f"This needs {package!r}, which is not installed. Install it: pip install 'manybase[{extra}]'."
        ) from None
