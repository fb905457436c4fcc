"""Isolation: each database in a process of its own, for an ``env.py`` that changes what a whole process shares."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from manybase import errors
from manybase.cli import printing
from manybase.cli.application import UsageError
from manybase.cli.moves import Watch
from manybase.cli.progress import STOPPING
from manybase.cli.risks import Danger
from manybase.engines import Databases
from manybase.errors import ManybaseError, MigrationFailed, rebuild
from manybase.migrations import Migrated, Outcome, Risk, Stopped
from manybase.migrations.environments import Target
from manybase.migrations.places import check_canary, places
from manybase.migrations.running import Run
from manybase.participants import is_in_memory

INTERRUPTED = 130
Document = dict[str, Any]


class Children:
    """The processes that are under way, and what each of them reports. Asked from several threads."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.running: set[subprocess.Popen[str]] = set()

    def look(self, target: Target) -> Document:
        return self.reported(target.name, "--look")

    def move(self, target: Target) -> Migrated:
        (done,) = self.reported(target.name)["done"]
        before, after, revisions = (tuple(done[key]) for key in ("before", "after", "revisions"))
        found = Migrated(target.name, before, after, revisions, done["seconds"])
        self.watch.progress.arrives(found.database, len(found.revisions), found.after)
        return found

    def reported(self, name: str, *more: str) -> Document:
        """What a process has done with one database. Raises what went wrong there."""
        code, text = self.run(name, *more)
        try:
            document: Document = json.loads(text)
        except ValueError:
            if code == INTERRUPTED:
                raise Stopped from None
            raise MigrationFailed(name, f"Its process ended with exit code {code}, and without a report.") from None
        if document.get("interrupted"):
            raise Stopped
        for failure in document.get("failed", ()):
            raise rebuilt(failure)
        if "error" in document:
            raise MigrationFailed(name, str(document["error"]))
        return document

    def run(self, name: str, *more: str) -> tuple[int, str]:
        process = subprocess.Popen(
            [*self.command(name), *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal would interrupt it too, so that it were interrupted twice
        )
        self.running.add(process)
        if self.watch.order.stopping.is_set():  # too late for interrupt() to have seen it
            interrupt(process)
        out, err = process.communicate()
        self.running.discard(process)
        for line in err.splitlines():
            if line != STOPPING:  # which is told here
                printing.complain(line)
        return process.returncode, out

    def command(self, name: str) -> list[str]:
        order, app = self.watch.order, self.watch.wish.app
        given = [] if app is None else ["--app", app]
        options = ["-d", name, "--json", "--yes", "--jobs", "1", "--lock-timeout", f"{order.lock_timeout:g}"]
        options += ["--only-behind"] if self.watch.wish.only_behind else []
        return [sys.executable, "-m", "manybase.cli", *given, order.direction, order.destination, *options]

    def interrupt(self) -> None:
        for process in list(self.running):
            interrupt(process)


def interrupt(process: subprocess.Popen[str]) -> None:
    if sys.platform != "win32":  # where the console has told it
        process.send_signal(signal.SIGINT)


def rebuilt(failure: Document) -> ManybaseError:
    """The error as it was in the other process."""
    kind = getattr(errors, failure.pop("kind"), ManybaseError)
    found = rebuild(kind, (failure.pop("error"),))
    vars(found).update(failure)
    return found


def run_in_processes(watch: Watch) -> Outcome[Migrated]:
    """Look in a process for each database, unless everything is agreed to; then migrate in one for each."""
    databases, wish, stopping = watch.databases, watch.wish, watch.order.stopping
    every = places(databases, wish.names, wish.tenants)
    check_canary(databases, every, wish.how.canary)
    refuse_memory(databases, [name for _, name in every])
    children = Children(watch)
    watch.on_stop = children.interrupt
    outcome: Outcome[Migrated] = Outcome()
    if not wish.yes:
        looking = Run(databases, children.look, jobs=wish.how.jobs, keep_going=wish.how.keep_going, stopping=stopping)
        looked = looking.over(every)
        outcome.failed.update(looked.failed)
        if (looked.failed and not wish.how.keep_going) or stopping.is_set():
            outcome.pending = [name for _, name in every if name not in looked.failed]
            return outcome
        watch.allow(merged([looked.done[name] for _, name in every if name in looked.done]))
        every = [place for place in every if place[1] in looked.done]
    watch.progress.expects(len(every))
    run = Run(
        databases,
        children.move,
        jobs=wish.how.jobs,
        keep_going=wish.how.keep_going,
        canary=wish.how.canary,
        observer=watch.progress,
        stopping=stopping,
        outcome=outcome,
    )
    return run.over(every)


def refuse_memory(databases: Databases, names: Sequence[str]) -> None:
    for name in names:
        if is_in_memory(databases, name):
            raise UsageError(f"Database {name!r} is in memory: no other process reaches it. Use --isolation thread.")


def merged(documents: Sequence[Document]) -> list[Danger]:
    """The same risk of several databases is told once."""
    found: dict[Risk, list[str]] = {}
    for document in documents:
        for each in document["risks"]:
            names = each.pop("databases")
            found.setdefault(Risk(**each), []).extend(names)
    return [Danger(tuple(names), risk) for risk, names in found.items()]
