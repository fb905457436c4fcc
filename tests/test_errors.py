"""The error tree, as it is drawn at the top of errors.py."""

import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import exc

import manybase
from manybase import (
    AmbiguousRoute,
    CommitError,
    ConfigurationError,
    CrossDatabaseError,
    DestructiveMigration,
    FederationError,
    FederationLimit,
    ManybaseError,
    MigrationError,
    MigrationFailed,
    MigrationLocked,
    Overloaded,
    PartialCommitError,
    PartlyMigrated,
    PendingMigrations,
    ReadOnlyError,
    RoutingError,
    UnknownDatabase,
    UnsupportedStatement,
    errors,
)

DRAWN = re.compile(r"^( *)([A-Z]\w+)(  +\S.*)?$", re.MULTILINE)

MADE = [
    ConfigurationError("wrong"),
    RoutingError("wrong"),
    UnknownDatabase("biling", {"shop": 1, "billing": 2}),
    AmbiguousRoute("which?", ["eu", "us"]),
    CrossDatabaseError({"shop": ["users", "orders"], "analytics": ["events"]}, "Ask twice."),
    ReadOnlyError("wrong"),
    CommitError("wrong"),
    PartialCommitError(["shop"], ["audit"], ["analytics"]),
    Overloaded(["shop", "audit"], 2.5),
    MigrationError("wrong"),
    MigrationFailed("shop", "No such table.", revision="ae10", applied=["ae09"]),
    MigrationLocked("shop", 5, "pid 7 on web1"),
    PartlyMigrated(["shop"], {}, ["eu"]),
    PendingMigrations({"shop": 1, "audit": 2}, {"eu": ["ae10"]}),
    DestructiveMigration(["shop"], ["shop: drops table users"]),
    FederationError("wrong"),
    UnsupportedStatement("Function to_char()", "DuckDB has none", "Ask at home."),
    FederationLimit("max_rows", 1_000_000, fragment="events of analytics"),
    FederationLimit("memory_limit", "64MB"),
]


def drawn() -> Iterator[tuple[str, str]]:
    """Each error in the drawing, with the one it stands under."""
    assert errors.__doc__ is not None
    above: list[str] = []
    for indent, name, _ in DRAWN.findall(errors.__doc__.split("\n\n")[1]):
        del above[len(indent) // 2 :]
        yield name, above[-1] if above else "Exception"
        above.append(name)


def real() -> Iterator[tuple[str, str]]:
    """Each error there is, with the manybase error it inherits from first."""
    for name, value in vars(errors).items():
        if isinstance(value, type) and value.__module__ == errors.__name__:
            yield name, value.__mro__[1].__name__


def test_drawing() -> None:
    """It shows every error, under the one it inherits from."""
    assert dict(real()) == dict(drawn())
    assert [name for name, _ in real()] == [name for name, _ in drawn()]


def test_every_error_is_public() -> None:
    """What can be raised can be caught by a name from `manybase`."""
    assert {name for name, _ in real()} <= {*manybase.__all__}


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (ConfigurationError, exc.ArgumentError),
        (RoutingError, exc.InvalidRequestError),
        (UnknownDatabase, LookupError),
        (AmbiguousRoute, exc.UnboundExecutionError),
        (FederationError, exc.InvalidRequestError),
        (CommitError, exc.InvalidRequestError),
        (Overloaded, exc.TimeoutError),
    ],
)
def test_sqlalchemy_families(error: type[ManybaseError], family: type[Exception]) -> None:
    """Code that catches SQLAlchemy's own errors goes on working, and so does `except ManybaseError`."""
    assert issubclass(error, family)
    assert issubclass(error, ManybaseError)
    assert issubclass(error, exc.SQLAlchemyError)


@pytest.mark.parametrize(
    ("made", "attributes"),
    [
        (MADE[2], {"name": "biling", "declared": ("shop", "billing")}),
        (MADE[3], {"databases": ("eu", "us")}),
        (AmbiguousRoute("which?"), {"databases": ()}),
        (
            MADE[4],
            {"databases": ("analytics", "shop"), "tables": {"analytics": ("events",), "shop": ("orders", "users")}},
        ),
        (CommitError("lost"), {"outcome": "unknown"}),
        (
            MADE[7],
            {
                "committed": ("shop",),
                "rolled_back": ("audit",),
                "unknown": ("analytics",),
                "outcome": "partly committed",
            },
        ),
        (PartialCommitError(["shop"], []), {"committed": ("shop",), "rolled_back": (), "unknown": ()}),
        (MADE[8], {"databases": ("shop", "audit"), "seconds": 2.5}),
        (MADE[10], {"database": "shop", "revision": "ae10", "applied": ("ae09",)}),
        (MADE[11], {"database": "shop", "seconds": 5, "holder": "pid 7 on web1"}),
        (MADE[12], {"done": ("shop",), "failed": {}, "pending": ("eu",)}),
        (MADE[13], {"pending": {"shop": 1, "audit": 2}, "unknown": {"eu": ("ae10",)}}),
        (MADE[14], {"databases": ("shop",), "losses": ("shop: drops table users",)}),
        (MADE[16], {"part": "Function to_char()", "why": "DuckDB has none", "advice": "Ask at home."}),
        (MADE[17], {"limit": "max_rows", "allowed": 1_000_000, "fragment": "events of analytics"}),
        (MADE[18], {"limit": "memory_limit", "allowed": "64MB", "fragment": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes(made: Exception, attributes: dict[str, Any]) -> None:
    """The facts are attributes: nobody has to parse the text."""
    assert attributes == {name: getattr(made, name) for name in attributes}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (MADE[2], "Database 'biling' is not declared. Declared: shop, billing. Add it to Databases(...)."),
        (
            MADE[4],
            "One statement names tables of several databases (analytics: events; shop: orders, users). Ask twice.",
        ),
        (
            MADE[7],
            "The commit tore. Committed: shop. Rolled back: audit. Unknown, the connection was lost during COMMIT: "
            "analytics. Do not retry; compare the databases and repair the difference.",
        ),
        (
            PartialCommitError([], ["shop"]),
            "The commit tore. Committed: none. Rolled back: shop. Do not retry; compare the databases and repair the "
            "difference.",
        ),
        (
            MADE[8],
            "No connection to shop, audit came free within 2.5 s. Retry later; if it happens often, raise pool_size "
            "or max_overflow in engine_options, or shorten the transactions.",
        ),
        (
            MADE[16],
            "Function to_char() cannot be answered over several databases: DuckDB has none. Ask at home.",
        ),
        (
            MADE[17],
            "Fragment events of analytics went over max_rows=1,000,000. Select less, with a condition that its "
            "database can apply, or raise max_rows in Federation(...), for all statements or for this one.",
        ),
        (
            MADE[18],
            "The statement went over memory_limit=64MB. Select less, with a condition that its database can apply, or "
            "raise memory_limit in Federation(...), for all statements or for this one.",
        ),
        (
            PartlyMigrated(["shop"], {"audit": MigrationFailed("audit", "It is down.")}, ["eu", "us"]),
            "Migrated: shop. Failed: audit. Not begun: eu, us. Database 'audit' failed. It is down. Correct that and "
            "run it again: what is migrated is passed over.",
        ),
        (
            PartlyMigrated([], {str(n): MigrationFailed(str(n), "Down.") for n in range(12)}).args[0][:75],
            "Migrated: none. Failed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more. Not begun:",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_message(made: Exception, message: str) -> None:
    """What was asked, what is known, what to do next."""
    assert message == str(made)


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_message_is_a_sentence(made: Exception) -> None:
    """SQLAlchemy's families add nothing to it: no error code, no link."""
    assert str(made) == made.args[0]
    assert "sqlalche.me" not in str(made)


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_pickled(made: ManybaseError) -> None:
    """An error crosses processes with its text and its facts."""
    again = pickle.loads(pickle.dumps(made))

    assert (type(made), str(made), vars(made)) == (type(again), str(again), vars(again))


def test_url_where_a_name_is_asked_for() -> None:
    """The error does not repeat it: it may hold a password."""
    error = UnknownDatabase("postgresql://me:s3cret!@db1/shop", ["shop"])

    assert "s3cret" not in str(error)
