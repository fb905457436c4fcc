"""Stepping: one database brought from where it is to a revision, under its lock, one revision after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, event

from manybase.errors import ManybaseError, MigrationFailed
from manybase.migrations import internals
from manybase.migrations.environments import UNFINISHED, Heads, Target
from manybase.migrations.failures import advice, failed, naming
from manybase.migrations.locks import guard, lock
from manybase.migrations.orders import Direction, Migrated, Order, Plan, Stopped
from manybase.participants import MYSQL

STEPS: dict[Direction, Callable[..., Iterable[Any]]] = {
    "upgrade": internals.upgrade_steps,
    "downgrade": internals.downgrade_steps,
    "stamp": internals.stamp_steps,
}
DEFINING = ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE")
SECRET = ("IDENTIFIED", "PASSWORD")
LONG = 100  # characters of a statement in an error


def plan(target: Target, order: Order) -> Plan:
    """Looked at without the lock: where nothing is to be done, nobody has to wait. Changes nothing."""
    passes = passes_of(target)
    before = together(passes)
    if order.only_behind and not all(map(target.history.has, before)):
        return Plan(target.name, order.direction, target.dialect, target.history, before, (), 0)
    steps = [step for heads in passes for step in steps_from(target, order, heads)]
    scripts = tuple(dict.fromkeys(each.revision for each in steps)) if order.direction != "stamp" else ()
    return Plan(target.name, order.direction, target.dialect, target.history, before, scripts, len(steps))


def migrate(target: Target, order: Order, agreed: Plan) -> Migrated:
    """Do it, and nothing that was not agreed on.

    Raises ``MigrationLocked`` and ``MigrationFailed``, and ``Stopped`` with nothing half done.
    """
    started = time.monotonic()
    journey = Journey(target, order, agreed)
    patience = order.lock_timeout
    with lock(
        target.autocommit,
        target.name,
        timeout=patience,
        scope=target.scope,
        waiting=journey.waits,
        pausing=journey.stop,
    ):
        journey.make()
    return Migrated(target.name, agreed.before, journey.after, tuple(journey.applied), time.monotonic() - started)


def together(passes: Iterable[Heads]) -> Heads:
    return tuple(sorted({head for heads in passes for head in heads}))


def passes_of(target: Target) -> list[Heads]:
    with naming(target.name):
        return target.passes()


def steps_from(target: Target, order: Order, heads: Heads) -> list[Any]:
    try:
        return list(STEPS[order.direction](target.history.scripts, order.destination, heads))
    except CommandError as error:
        raise MigrationFailed(target.name, advice(str(error))) from error


class Journey:
    """The steps of one database: which have been taken, and which is under way."""

    def __init__(self, target: Target, order: Order, agreed: Plan) -> None:
        self.target = target
        self.order = order
        self.agreed = agreed.revisions
        self.after: Heads = ()
        self.open = True  # there are steps to take
        self.applied: list[str] = []
        self.current: str | None = None
        self.executed: list[str] = []  # of the current revision, where no rollback reaches it

    def waits(self, holder: str) -> None:
        self.order.observer.waits(self.target.name, holder)

    def stop(self) -> None:
        if self.order.stopping.is_set():
            raise Stopped

    def make(self) -> None:
        try:
            self.target.run(self.steps, connected=self.connected, destination_rev=self.order.destination)
            if self.open:
                raise MigrationFailed(self.target.name, UNFINISHED, revision=self.current)
        except (ManybaseError, Stopped):
            raise
        except Exception as error:
            raise self.failure(error) from error

    def connected(self, connection: Connection) -> None:
        name, scope = self.target.name, self.target.scope
        guard(connection, name, timeout=self.order.lock_timeout, scope=scope, pausing=self.stop)
        if connection.dialect.name in MYSQL:
            event.listen(connection, "after_cursor_execute", self.note)

    def note(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        text = statement.lstrip().upper()
        if text.startswith(DEFINING) and not any(word in text for word in SECRET):
            self.executed.append(" ".join(statement.split())[:LONG])

    def steps(self, heads: Heads, context: MigrationContext) -> Iterator[Any]:
        self.open = True
        steps = steps_from(self.target, self.order, heads)  # again: another process may have been here meanwhile
        self.check_agreed(steps)
        for number, step in enumerate(steps, 1):
            self.arrive()
            self.stop()
            self.current = named(step)
            self.order.observer.steps(self.target.name, self.current, number, len(steps))
            yield step
        self.arrive()
        self.after = together((self.after, context.get_current_heads()))
        self.open = False

    def check_agreed(self, steps: Iterable[Any]) -> None:
        others = [each.revision.revision for each in steps if self.order.direction != "stamp"]
        if not {*others} <= {*self.agreed}:
            raise MigrationFailed(
                self.target.name, "Somebody else has migrated it meanwhile, and other revisions are next. Run it again."
            )

    def arrive(self) -> None:
        if self.current is not None:
            self.applied.append(self.current)
        self.current = None
        self.executed.clear()

    def failure(self, error: Exception) -> MigrationFailed:
        applied = self.applied if self.stays() else []
        return failed(self.target.name, error, self.current, applied, self.rest())

    def stays(self) -> bool:
        """Whether what was applied before is there: an env.py may have all revisions in one transaction."""
        if not self.applied:
            return False
        try:
            now = together(self.target.passes())
            scripts = self.target.history.scripts
            reached = {each.revision for each in scripts.iterate_revisions(now, "base")} if now else set()
        except Exception:
            return False
        return (self.applied[-1] in reached) == (self.order.direction == "upgrade")

    def rest(self) -> str:
        """What is left of the revision that failed."""
        if self.target.dialect not in MYSQL or self.current is None:
            return ""
        name = self.target.name
        if not self.executed:
            return "Nothing of that revision was done before."
        return (
            f"This server commits each of these at once, so they stay: {'; '.join(self.executed)}. Undo them by hand "
            f"and upgrade again, or finish the revision by hand and say so: manybase stamp {self.current} -d {name}."
        )


def named(step: Any) -> str:
    """The revision that a step is about."""
    return ", ".join(step.to_revisions_no_deps if step.is_upgrade else step.from_revisions_no_deps) or "base"
