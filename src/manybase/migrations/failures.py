"""Failures: what went wrong in a database, in words that help and hold no secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from manybase.errors import ManybaseError, MigrationFailed


@contextmanager
def naming(database: str) -> Iterator[None]:
    """Around what an ``env.py`` or a revision runs: its error becomes a ``MigrationFailed`` of that database."""
    try:
        yield
    except ManybaseError:
        raise
    except Exception as error:
        raise failed(database, error) from error


def failed(
    database: str, error: Exception, revision: str | None = None, applied: Iterable[str] = (), rest: str = ""
) -> MigrationFailed:
    return MigrationFailed(database, f"{cause(error)} {rest}".strip(), revision=revision, applied=applied)


def cause(error: Exception) -> str:
    """What went wrong, in the words of the server or of the revision; never a statement with its values, or a URL."""
    if isinstance(error, DBAPIError):
        first = str(error.orig).strip().splitlines()
        return f"{type(error.orig).__name__}: {first[0] if first else 'no text'}."
    if isinstance(error, CommandError):
        return advice(str(error))
    if isinstance(error, SQLAlchemyError):
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return f"{type(error).__name__}: {error}"


def advice(text: str) -> str:
    if "Multiple head revisions" in text or "multiple heads" in text:
        return "Its history has several heads. Join them: manybase merge heads; or name one, or take all: heads."
    if "Can't locate revision" in text:
        return f"{text}. See those that there are: manybase history."
    return text if text.endswith(".") else f"{text}."
