"""``manybase upgrade``, ``downgrade``, ``stamp`` and ``setup``: databases brought to where they should be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

from manybase import migrations
from manybase.cli import outcomes, printing, progress, risks
from manybase.cli.answers import Answer
from manybase.cli.application import UsageError
from manybase.cli.interrupting import Stopping, interruptible
from manybase.cli.risks import Danger, losses
from manybase.cli.wishes import Wish
from manybase.engines import Databases
from manybase.errors import DestructiveMigration, listed
from manybase.migrations import Agree, Migrated, Order, Outcome, Plan
from manybase.migrations.offline import sql_of_each
from manybase.migrations.orders import Direction
from manybase.migrations.places import places
from manybase.parts import shared_shards


def move(databases: Databases, direction: Direction, revision: str, wish: Wish) -> Answer:
    def run(watch: Watch) -> Outcome[Migrated]:
        return moved(databases, watch, watch.agree)

    return Watch(databases, direction, revision, wish).over(run)


def moved(databases: Databases, watch: Watch, agree: Agree) -> Outcome[Migrated]:
    wish = watch.wish
    return migrations.run(databases, watch.order, names=wish.names, tenants=wish.tenants, how=wish.how, agree=agree)


class Watch:
    """What is around a run: the question whether data may be lost, the progress, Ctrl-C, and the report."""

    def __init__(self, databases: Databases, direction: Direction, revision: str, wish: Wish) -> None:
        self.databases = databases
        self.wish = wish
        self.progress = progress.shown(json=wish.json)
        self.order = Order(direction, revision, wish.lock_timeout, self.progress, Stopping(self.stops))
        self.losses: list[Danger] = []
        self.on_stop: Callable[[], None] = lambda: None

    def agree(self, plans: Sequence[Plan]) -> None:
        self.allow(losses(plans))
        self.progress.looked(plans)

    def allow(self, found: Sequence[Danger]) -> None:
        self.losses += found
        risks.agree(found, self.progress, yes=self.wish.yes, json=self.wish.json)

    def stops(self) -> None:
        self.on_stop()
        self.progress.stops()

    def leave(self) -> None:
        self.on_stop()  # once more: that ends them
        self.progress.leave()

    def over(self, run: Callable[[Watch], Outcome[Migrated]]) -> Answer:
        try:
            with self.progress, interruptible(self.order.stopping, self.leave):
                outcome = run(self)
        except KeyboardInterrupt:  # at the question
            every = [name for _, name in places(self.databases, self.wish.names, self.wish.tenants)]
            outcome = Outcome(pending=every, interrupted=True)
        except DestructiveMigration as error:
            return self.refused(error)
        outcome.interrupted |= self.order.stopping.is_set()
        if (why := outcomes.misunderstood(outcome, self.order.destination)) is not None:
            raise UsageError(why)
        left = left_out(self.databases, self.wish)
        document = {
            **outcomes.document_of(outcome),
            "risks": [each.document for each in self.losses],
            **({"left_out": left} if left else {}),
        }

        def tell() -> None:
            outcomes.tell(outcome, self.progress.told)
            if left:
                printing.say(f"Left alone: the tenants of {listed(left)}. Take them with --all, or --tenant NAME.")

        return Answer(document, tell, outcomes.code_of(outcome))

    def refused(self, error: DestructiveMigration) -> Answer:
        text = str(error)
        document = {"error": text, "databases": list(error.databases), "risks": [each.document for each in self.losses]}
        return Answer(document, lambda: printing.complain(text), outcomes.FAILED)


def left_out(databases: Databases, wish: Wish) -> list[str]:
    """The databases whose tenants nobody has asked for."""
    if wish.names is not None or wish.tenants is not None:
        return []
    return [each for each in databases.tenants if databases[each].manage_schema and not shared_shards(databases, each)]


def write_sql(databases: Databases, direction: Direction, revision: str, wish: Wish) -> Answer:
    """The SQL, for somebody else to run."""
    order = migrations.ordered(direction, revision, 0, None)
    with redirect_stdout(sys.stderr):
        written = dict(sql_of_each(databases, order, wish.names, wish.tenants))
    document = {"databases": [{"database": name, "sql": text} for name, text in written.items()]}
    return Answer(document, lambda: printing.say("\n".join(written.values()).rstrip()))


def look(databases: Databases, direction: Direction, revision: str, wish: Wish) -> Answer:
    """What would be done: the answer of a process that only looks."""
    order = migrations.ordered(direction, revision, wish.lock_timeout, None)
    outcome = risks.look(databases, order, wish.names, jobs=wish.how.jobs, tenants=wish.tenants)
    plans = list(outcome.done.values())
    document = {
        "plans": [{"database": each.database, "before": each.before, "steps": each.steps} for each in plans],
        "risks": [each.document for each in losses(plans)],
        "failed": outcomes.failures(outcome.failed),
    }
    return Answer(document, lambda: None, outcomes.code_of(outcome))


def stamp(databases: Databases, revision: str, wish: Wish) -> Answer:
    stamped: Outcome[Migrated] = Outcome()

    def run(watch: Watch) -> Outcome[Migrated]:
        nonlocal stamped
        stamped = moved(databases, watch, migrations.agreeing)
        return stamped

    answer = Watch(databases, "stamp", revision, wish).over(run)

    def tell() -> None:
        for each in filter(outcomes.has_moved, stamped.done.values()):
            printing.say(f"{each.database}: now at {', '.join(each.after) or 'base'}")
        answer.tell()

    return Answer(answer.document, tell, answer.code)


def setup(databases: Databases, wish: Wish) -> Answer:
    created: list[str] = []

    def run(watch: Watch) -> Outcome[Migrated]:
        made, outcome = migrations.setup(
            databases,
            names=wish.names,
            tenants=wish.tenants,
            how=wish.how,
            lock_timeout=wish.lock_timeout,
            observer=watch.progress,
            agree=watch.agree,
            stopping=watch.order.stopping,
        )
        created.extend(made)
        return outcome

    answer = Watch(databases, "upgrade", "head", wish).over(run)

    def tell() -> None:
        if created:
            printing.say(f"Created: {listed(created)}.")
        answer.tell()

    return Answer({"created": created, **answer.document}, tell, answer.code)
