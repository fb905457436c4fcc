"""DBAPI: the errors of the executor, as SQLAlchemy expects them of a driver. Needs no DuckDB."""

from __future__ import annotations

apilevel, threadsafety, paramstyle = "2.0", 1, "named"
Binary = bytes


class Error(Exception):
    """The executor could not run what it was given."""


class DatabaseError(Error):
    pass


class DataError(DatabaseError):
    """A value does not fit: divided by zero, out of range, not of the type it is cast to."""


class OperationalError(DatabaseError):
    """Out of memory or disk, or interrupted."""


class IntegrityError(DatabaseError):
    pass


class InternalError(DatabaseError):
    pass


class GivenUp(InternalError):
    """Another statement has failed inside of the DuckDB that they shared."""


class ProgrammingError(DatabaseError):
    pass


class NotSupportedError(DatabaseError):
    pass


class InterfaceError(Error):
    pass
