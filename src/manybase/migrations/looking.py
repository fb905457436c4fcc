"""Looking: what each database is at, how far behind its head, and who migrates it right now. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manybase.migrations.environments import Heads, Target
from manybase.migrations.histories import History
from manybase.migrations.locks import holder
from manybase.migrations.stepping import passes_of, together


@dataclass(frozen=True)
class State:
    """``current`` are the revisions a database is at, ``heads`` those of its history, ``pending`` the ones between.

    ``unknown`` are those of ``current`` that the history does not have; ``locked_by`` is who migrates it now.
    """

    database: str
    current: Heads
    heads: Heads
    pending: tuple[str, ...]
    unknown: Heads
    locked_by: str | None

    @property
    def at_head(self) -> bool:
        return not self.pending and not self.unknown


def look(target: Target) -> State:
    passes = passes_of(target)
    with target.autocommit.connect() as connection:
        locked_by = holder(connection, target.scope)
    return state_of(target.name, target.history, passes, locked_by)


def state_of(name: str, history: History, passes: Sequence[Heads], locked_by: str | None) -> State:
    scripts = history.scripts
    every = [each.revision for each in scripts.walk_revisions()]
    heads = tuple(sorted(scripts.get_heads(consider_depends_on=True)))
    current = together(passes)
    unknown = tuple(each for each in current if each not in every)
    if unknown:
        return State(name, current, heads, (), unknown, locked_by)
    reached = [{each.revision for each in scripts.iterate_revisions(at, "base")} if at else set() for at in passes]
    everywhere = set.intersection(*reached)
    pending = tuple(each for each in reversed(every) if each not in everywhere)
    return State(name, current, heads, pending, unknown, locked_by)
