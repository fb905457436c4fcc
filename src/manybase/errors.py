"""Every error manybase raises.

ManybaseError
  ConfigurationError        the declaration is wrong: raised at declaration or start-up
  RoutingError              a statement or a session asked for something routing cannot answer
    UnknownDatabase           a name that is not declared                (404 in FastAPI)
    AmbiguousRoute            several databases would do, or none is named
    CrossDatabaseError        one statement names tables of several databases
    ReadOnlyError             a write through a session that only reads
  CommitError               a commit over several databases did not end as asked
    NotCommitted              nothing is committed anywhere: retry is safe (503 in FastAPI)
      AtomicityError            it cannot be atomic as things are: retrying does not help
    PartialCommitError        some databases are committed, others are not: never retry
    InDoubtError              committed everywhere or nowhere, and which cannot be told yet: never retry
  Overloaded                no connection came free in time: nothing was done, retry is safe (503 in FastAPI)

Each message says what was asked, what is known and what to do next; the facts are attributes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import exc as sa_exc

WORD = re.compile(r"[\w -]{1,64}")  # anything else may be a URL, and hold a password


class ManybaseError(Exception):
    """The family: catch it to catch everything manybase itself raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes (task queues, multiprocessing) with their text and their facts."""
        return rebuild, (type(self), self.args), vars(self)


class ConfigurationError(ManybaseError, sa_exc.ArgumentError):
    """The declaration cannot work as written."""


class RoutingError(ManybaseError, sa_exc.InvalidRequestError):
    """Where a statement should go cannot be answered."""


class UnknownDatabase(RoutingError, LookupError):
    """A database was named that is not declared."""

    def __init__(self, name: str, declared: Iterable[str]) -> None:
        self.name = name
        self.declared = tuple(declared)
        named = f"Database {name!r}" if WORD.fullmatch(str(name)) else "What was given as a name (it is none)"
        super().__init__(f"{named} is not declared. Declared: {', '.join(self.declared)}. Add it to Databases(...).")


class AmbiguousRoute(RoutingError, sa_exc.UnboundExecutionError):
    """Several databases could serve the statement, or nothing says which one should."""

    def __init__(self, message: str, databases: Iterable[str] = ()) -> None:
        self.databases = tuple(databases)
        super().__init__(message)


class CrossDatabaseError(RoutingError):
    """A statement names tables of several databases; no SQL has run."""

    def __init__(self, tables: Mapping[str, Iterable[str]], advice: str) -> None:
        self.tables = {database: tuple(sorted(names)) for database, names in sorted(tables.items())}
        self.databases = tuple(self.tables)
        where = "; ".join(f"{database}: {', '.join(names)}" for database, names in self.tables.items())
        super().__init__(f"One statement names tables of several databases ({where}). {advice}")


class ReadOnlyError(RoutingError):
    """A write was asked of a session that only reads; nothing was written."""


class CommitError(ManybaseError, sa_exc.InvalidRequestError):
    """A commit over several databases did not end as asked; ``outcome`` says how it ended."""

    outcome = "unknown"


class NotCommitted(CommitError):
    """Nothing is committed, in no database. The transaction can be tried again."""

    outcome = "not committed"

    def __init__(self, why: str, databases: Iterable[str] = ()) -> None:
        self.databases = tuple(databases)
        super().__init__(f"Nothing was committed, in no database. {why}")


class AtomicityError(NotCommitted):
    """What was written cannot be committed atomically as things are; nothing is committed."""


class PartialCommitError(CommitError):
    """Some databases are committed and others are not. Retrying would write the committed part twice."""

    outcome = "partly committed"

    def __init__(self, committed: Iterable[str], rolled_back: Iterable[str], unknown: Iterable[str] = ()) -> None:
        self.committed = tuple(committed)
        self.rolled_back = tuple(rolled_back)
        self.unknown = tuple(unknown)
        lost = f" Unknown, the connection was lost during COMMIT: {', '.join(self.unknown)}." if self.unknown else ""
        super().__init__(
            f"The commit tore. Committed: {', '.join(self.committed) or 'none'}. "
            f"Rolled back: {', '.join(self.rolled_back) or 'none'}.{lost} "
            "Do not retry; compare the databases and repair the difference."
        )


class InDoubtError(CommitError):
    """The connection broke while the commit was being decided, and nobody could be asked whether it was.

    It is committed everywhere or nowhere. Recovery finds out and finishes it.
    """

    outcome = "unknown"

    def __init__(self, transaction_id: str, coordinator: str) -> None:
        self.transaction_id = transaction_id
        self.coordinator = coordinator
        super().__init__(
            f"Transaction {transaction_id} is committed everywhere or nowhere; which of them, only database "
            f"{coordinator!r} knows, and it cannot be reached. Do not retry. Once it answers again, recovery finishes "
            f"the transaction; `manybase in-doubt resolve {transaction_id}` does it now and says how it ended."
        )


class Overloaded(ManybaseError, sa_exc.TimeoutError):
    """No connection came free in time; nothing was done."""

    def __init__(self, databases: Iterable[str], seconds: float) -> None:
        self.databases = tuple(databases)
        self.seconds = seconds
        super().__init__(
            f"No connection to {', '.join(self.databases)} came free within {seconds:g} s. Retry later; if it "
            "happens often, raise pool_size or max_overflow in engine_options, or shorten the transactions."
        )


def rebuild(cls: type[ManybaseError], arguments: tuple[Any, ...]) -> ManybaseError:
    return cls.__new__(cls, *arguments)
