"""Every error manybase raises.

ManybaseError
  ConfigurationError        the declaration is wrong: raised at declaration or start-up
  RoutingError              a statement or a session asked for something routing cannot answer
    UnknownDatabase           a name that is not declared                (404 in FastAPI)
    UnknownTenant             nobody of that name in the directory       (404 in FastAPI)
    DirectoryUnavailable      who the tenants are cannot be told now     (503 in FastAPI)
    TenantMismatch            an object of one tenant was given to the session of another
    AmbiguousRoute            several databases or tenants would do, or none is named
    CrossDatabaseError        one statement names tables of several databases
    ReadOnlyError             a write through a session that only reads
    InvalidPosition           a text that is no position of a log
  NoReplica                 no replica can serve, and the primary is not to (503 in FastAPI)
  FederationError           a select over several databases cannot be answered
    UnsupportedStatement      a part of it that nothing here can do rightly; says which, and the way round
    FederationLimit           it went over a limit of rows, bytes or seconds; says which fragment
  CommitError               a commit over several databases did not end as asked
    NotCommitted              nothing is committed anywhere: retry is safe (503 in FastAPI)
      AtomicityError            it cannot be atomic as things are: retrying does not help
    PartialCommitError        some databases are committed, others are not: never retry
    InDoubtError              committed everywhere or nowhere, and which cannot be told yet: never retry
  MigrationError            a migration, or the look at one, did not end as asked
    MigrationFailed           one database could not be migrated; says which revision, and what is left of it
    MigrationLocked           somebody else is migrating the database, and did not end in time
    PartlyMigrated            of several databases some are migrated, others failed or are still to come
    PendingMigrations         databases are not at their head, or hold a schema that nobody here knows
    DestructiveMigration      a pending revision would lose data, and nobody agreed
  Overloaded                no connection came free in time: nothing was done, retry is safe (503 in FastAPI)

Each message says what was asked, what is known and what to do next; the facts are attributes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import exc as sa_exc

PASSWORD, HIDDEN = re.compile(r"(\w://[^:/@\s]*):[^\s'\"]*@"), r"\1:***@"  # in a URL that somebody else repeats
SHOWN = 10  # names or errors in one message
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


class UnknownTenant(RoutingError, LookupError):
    """Nobody of that name is a tenant; no connection was made. ``tenant`` is the name as it was given."""

    def __init__(self, tenant: object, databases: Iterable[str], why: str = "is not in the directory") -> None:
        self.tenant = tenant
        self.databases = tuple(databases)
        named = ascii(tenant)  # it is a client's text: nothing in it may end a line of the log, or look like another
        short = named if len(named) <= 66 else f"{named[:60]}...{named[-1]}"
        super().__init__(f"Tenant {short} of {', '.join(self.databases)} {why}.")


class DirectoryUnavailable(RoutingError):
    """The directory of the tenants did not answer in time, or failed; the reason is the cause of this error."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"Who the tenants of {database!r} are cannot be told now: their directory failed or did not answer. "
            "Nothing was done; retry later."
        )


class TenantMismatch(RoutingError):
    """An object of one tenant was added to, or merged into, a session of another one; nothing was done."""

    def __init__(self, cls: str, own: str, other: str) -> None:
        self.own = own
        self.other = other
        super().__init__(
            f"This {cls} belongs to tenant {own!r}, and the session to tenant {other!r}. Make a new object, and copy "
            "what the other tenant may have."
        )


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


class InvalidPosition(RoutingError, ValueError):
    """A text is not what ``str(position)`` writes; it is not repeated here."""

    def __init__(self, *_: object) -> None:
        super().__init__(
            "This is no position. Pass what str(session.position) has given, unchanged; without one, leave out after=."
        )


class NoReplica(ManybaseError, sa_exc.InvalidRequestError):
    """All replicas of a database are out, and it was declared with ``fallback=False``; nothing was read."""

    def __init__(self, database: str, states: Mapping[str, str]) -> None:
        self.database = database
        self.states = dict(states)
        known = ", ".join(f"{name}: {state}" for name, state in self.states.items())
        super().__init__(
            f"No replica of {database!r} can serve ({known}), and fallback=False keeps its primary for others. Retry "
            "later; `manybase doctor` says what is wrong with each."
        )


class FederationError(ManybaseError, sa_exc.InvalidRequestError):
    """A select over several databases cannot be answered."""


class UnsupportedStatement(FederationError):
    """``part`` of a statement cannot be done rightly over several databases; ``advice`` is the way round."""

    def __init__(self, part: str, why: str, advice: str) -> None:
        self.part = part
        self.why = why
        self.advice = advice
        super().__init__(f"{part} cannot be answered over several databases: {why}. {advice}")


class FederationLimit(FederationError):
    """A select over several databases went over a limit; ``limit`` names it, ``allowed`` is its value and ``fragment``
    what reached it. ``fragment`` is None where all of them together did."""

    def __init__(self, limit: str, allowed: float | str, *, fragment: str | None = None) -> None:
        self.limit = limit
        self.allowed = allowed
        self.fragment = fragment
        value = allowed if isinstance(allowed, str) else f"{allowed:,.15g}"
        super().__init__(
            f"{f'Fragment {fragment}' if fragment else 'The statement'} went over {limit}={value}. Select less, with "
            f"a condition that its database can apply, or raise {limit} in Federation(...), for all statements or for "
            "this one."
        )


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


class MigrationError(ManybaseError, sa_exc.InvalidRequestError):
    """A migration did not end as asked."""


class MigrationFailed(MigrationError):
    """One database could not be migrated. ``applied`` are the revisions of this run that stay applied."""

    def __init__(self, database: str, why: str, *, revision: str | None = None, applied: Iterable[str] = ()) -> None:
        self.database = database
        self.revision = revision
        self.applied = tuple(applied)
        where = f" in revision {revision}" if revision else ""
        super().__init__(f"Database {database!r} failed{where}. {PASSWORD.sub(HIDDEN, why)}")


class MigrationLocked(MigrationError):
    """Somebody else is migrating this database, and has not ended within ``seconds``; ``holder`` says who it is."""

    def __init__(self, database: str, seconds: float, holder: str | None = None) -> None:
        self.database = database
        self.seconds = seconds
        self.holder = holder
        super().__init__(
            f"Database {database!r} is being migrated by {holder or 'somebody else'}, which has not ended within "
            f"{seconds:g} s. Wait for it, or raise lock_timeout (--lock-timeout). The lock goes with its holder: there "
            "is none to be removed."
        )


class PartlyMigrated(MigrationError):
    """Of several databases some are migrated; running again does only what is missing.

    ``done`` and ``pending`` are names of databases; ``failed`` tells the error of each that failed.
    """

    def __init__(self, done: Iterable[str], failed: Mapping[str, BaseException], pending: Iterable[str] = ()) -> None:
        self.done = tuple(done)
        self.failed = dict(failed)
        self.pending = tuple(pending)
        told = " ".join(str(error) for error in list(self.failed.values())[:SHOWN])
        more = f" And {len(self.failed) - SHOWN} more." if len(self.failed) > SHOWN else ""
        super().__init__(
            f"Migrated: {listed(self.done)}. Failed: {listed(self.failed)}. Not begun: {listed(self.pending)}. "
            f"{told}{more} Correct that and run it again: what is migrated is passed over."
        )


class PendingMigrations(MigrationError):
    """Databases are not at their head. ``pending`` tells how many revisions each lacks, ``unknown`` what it holds
    that no revision here is named after."""

    def __init__(self, pending: Mapping[str, int], unknown: Mapping[str, Iterable[str]] | None = None) -> None:
        self.pending = dict(pending)
        self.unknown = {name: tuple(revisions) for name, revisions in (unknown or {}).items()}
        lacking = [f"{name}: {count} revision{'s' if count != 1 else ''}" for name, count in self.pending.items()]
        behind = "; ".join([*lacking[:SHOWN], *([f"{len(lacking) - SHOWN} more"] if len(lacking) > SHOWN else [])])
        told = [f"Behind: {behind}. Run `manybase upgrade` before this program starts."] if behind else []
        told += [
            f"Database {name!r} is at {', '.join(revisions)}, which is no revision here: a newer program migrated it. "
            "Start that one, or a release that knows the revision."
            for name, revisions in list(self.unknown.items())[:SHOWN]
        ]
        super().__init__(" ".join(told))


class DestructiveMigration(MigrationError):
    """A pending revision would lose data, and nobody has agreed to that; nothing was changed."""

    def __init__(self, databases: Iterable[str], losses: Iterable[str]) -> None:
        self.databases = tuple(databases)
        self.losses = tuple(losses)
        super().__init__(
            f"Nothing was changed. The pending revisions of {listed(self.databases)} would lose data: "
            f"{'; '.join(self.losses[:SHOWN])}{'; ...' if len(self.losses) > SHOWN else ''}. If that is meant, say so: "
            "--yes, or allow_data_loss=True."
        )


class Overloaded(ManybaseError, sa_exc.TimeoutError):
    """No connection came free in time; nothing was done. ``limits``: those of the process, if it has some."""

    def __init__(
        self, databases: Iterable[str], seconds: float, *, limits: Mapping[str, int | None] | None = None
    ) -> None:
        self.databases = tuple(databases)
        self.seconds = seconds
        self.limits = {name: limit for name, limit in (limits or {}).items() if limit is not None}
        bounds = " and ".join(f"{name}={limit}" for name, limit in self.limits.items())
        super().__init__(
            f"No connection to {', '.join(self.databases) or 'any database'} came free within {seconds:g} s"
            f"{f' under {bounds}' if bounds else ''}. Retry later; if it happens often, raise "
            f"{'these limits' if bounds else 'pool_size or max_overflow in engine_options'}, or shorten the "
            "transactions."
        )


def listed(names: Iterable[str]) -> str:
    """Names for a message, however many there are."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return f"{', '.join(every[:SHOWN])}{more}" if every else "none"


def rebuild(cls: type[ManybaseError], arguments: tuple[Any, ...]) -> ManybaseError:
    return cls.__new__(cls, *arguments)
