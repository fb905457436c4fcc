"""The facts of an error, as attributes."""

from typing import assert_type

from sqlalchemy import exc

from manybase import (
    AmbiguousRoute,
    CommitError,
    CrossDatabaseError,
    FederationLimit,
    ManybaseError,
    Overloaded,
    PartialCommitError,
    UnknownDatabase,
    UnsupportedStatement,
)


def facts(error: ManybaseError) -> None:
    if isinstance(error, UnknownDatabase):
        assert_type(error.name, str)
        assert_type(error.declared, tuple[str, ...])
    elif isinstance(error, AmbiguousRoute):
        assert_type(error.databases, tuple[str, ...])
    elif isinstance(error, CrossDatabaseError):
        assert_type(error.databases, tuple[str, ...])
        assert_type(error.tables, dict[str, tuple[str, ...]])
    elif isinstance(error, PartialCommitError):
        assert_type(error.committed, tuple[str, ...])
        assert_type(error.rolled_back, tuple[str, ...])
        assert_type(error.unknown, tuple[str, ...])
    elif isinstance(error, CommitError):
        assert_type(error.outcome, str)
    elif isinstance(error, UnsupportedStatement):
        assert_type((error.part, error.why, error.advice), tuple[str, str, str])
    elif isinstance(error, FederationLimit):
        assert_type(error.limit, str)
        assert_type(error.allowed, float | str)
        assert_type(error.fragment, str | None)
    elif isinstance(error, Overloaded):
        assert_type(error.seconds, float)


def also_in_the_family_of_sqlalchemy(error: Overloaded | UnknownDatabase) -> exc.SQLAlchemyError:
    return error
