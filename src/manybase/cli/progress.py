"""Progress: how migrations go, for a terminal as lines that change, for a log as a line for each database."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING

from manybase.cli import outcomes, printing
from manybase.migrations import Plan, Stopped

if TYPE_CHECKING:
    from rich.progress import TaskID

STOPPING = "Stopping: the revisions that are under way end first. Ctrl-C once more stops at once."
FEW = 20  # databases: so many leave a line each on a terminal
MANY = 100  # and so many in a log


class Progress:
    """Shows nothing, and remembers what there is to say at the end of each database. Told from several threads."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.began: dict[str, float] = {}
        self.arrivals: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.told: set[str] = set()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def expects(self, count: int) -> None:
        """So many databases have something to do."""

    def looked(self, plans: Sequence[Plan]) -> None:
        for each in plans:
            self.arrives(each.database, each.steps, arrival(each))
        self.expects(len(plans))

    def arrives(self, database: str, revisions: int, after: tuple[str, ...]) -> None:
        """Where that database is going to be, or is now."""
        self.arrivals[database] = revisions, after

    def begins(self, database: str) -> None:
        self.began[database] = time.monotonic()

    def waits(self, database: str, holder: str) -> None: ...

    def steps(self, database: str, revision: str, number: int, count: int) -> None: ...

    def ends(self, database: str, error: BaseException | None) -> None:
        if not isinstance(error, Stopped):
            self.told.add(database)

    def stops(self) -> None:
        """Called by the handler of a signal, which may come in the middle of a print."""
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), f"{STOPPING}\n".encode())

    def leave(self) -> None:
        """Nothing more is shown."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within, somebody else writes to the terminal."""
        yield

    def line(self, database: str) -> str | None:
        """What has become of a database, unless there was nothing to do."""
        revisions, after = self.arrivals.get(database, (0, ()))
        if not revisions:
            return None
        seconds = time.monotonic() - self.began[database]
        plural = "" if revisions == 1 else "s"
        return f"{database}: {revisions} revision{plural}, now at {', '.join(after) or 'base'} ({seconds:.1f} s)"


class Lines(Progress):
    """A line for each database that ends; where they are many, one for each tenth of them, and the failures at the
    end."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.ended = 0
        self.failed = 0

    def expects(self, count: int) -> None:
        self.count = count
        self.ended = self.failed = 0

    def waits(self, database: str, holder: str) -> None:
        printing.complain(f"{database}: waits for {holder}")

    def ends(self, database: str, error: BaseException | None) -> None:
        if self.count > MANY:
            self.counted(error)
            return
        super().ends(database, error)
        if isinstance(error, Stopped):
            return
        if error is not None:
            printing.complain(outcomes.text(database, error))
        elif line := self.line(database):
            printing.say(line)

    def counted(self, error: BaseException | None) -> None:
        if isinstance(error, Stopped):
            return
        with self.lock:
            self.ended += 1
            self.failed += error is not None
            if self.ended % max(1, self.count // 10) == 0 or self.ended == self.count:
                failed = f", {self.failed} of them failed" if self.failed else ""
                printing.say(f"{self.ended} of {self.count} databases{failed}")


class Bars(Progress):
    """A line for each database that is under way, and one for all of them."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self.rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.elapsed:.0f} s"),
            TextColumn("{task.fields[what]}", markup=False),
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        self.tasks: dict[str, TaskID] = {}
        self.few = False
        self.unsaid = 0
        self.all = self.rich.add_task("all databases", total=None, what="looked at")

    def __enter__(self) -> Progress:
        self.rich.start()
        return self

    def expects(self, count: int) -> None:
        self.few = count <= FEW
        self.rich.update(self.all, total=count, what="")

    def begins(self, database: str) -> None:
        super().begins(database)
        with self.lock:
            self.tasks[database] = self.rich.add_task(database, total=None, what="")

    def waits(self, database: str, holder: str) -> None:
        self.rich.update(self.tasks[database], what=f"waits for {holder}")

    def steps(self, database: str, revision: str, number: int, count: int) -> None:
        self.rich.update(self.tasks[database], completed=number - 1, total=count, what=revision)

    def ends(self, database: str, error: BaseException | None) -> None:
        super().ends(database, error)
        with self.lock:
            self.rich.remove_task(self.tasks.pop(database))
        if isinstance(error, Stopped):
            return
        self.rich.advance(self.all)
        if error is not None and not self.few:
            self.told.discard(database)  # at the end, those that failed alike together
        elif error is not None:
            printing.complain(outcomes.text(database, error))
        elif line := self.line(database):
            if self.few:
                printing.say(line)
            else:
                self.unsaid += 1

    def stops(self) -> None:
        self.rich.update(self.all, what=STOPPING)

    def leave(self) -> None:
        self.rich.stop()
        if self.unsaid:
            printing.say(f"Done: {outcomes.databases_of(self.unsaid)}.")
            self.unsaid = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.rich.stop()
        try:
            yield
        finally:
            self.rich.start()


def shown(*, json: bool) -> Progress:
    """The one that suits whoever reads."""
    if json:
        return Progress()
    if not sys.stdout.isatty():
        return Lines()
    from rich.console import Console

    return Lines() if Console().is_dumb_terminal else Bars()


def arrival(plan: Plan) -> tuple[str, ...]:
    """The heads of a database once its plan is done."""
    scripts = plan.history.scripts
    passed = set(plan.revisions)
    below = {down for each in plan.scripts for down in together(each.down_revision)}
    gone, new = (passed, below) if plan.direction == "downgrade" else (below, passed)
    left = {*plan.before, *new} - gone
    covered = {
        each.revision
        for head in left
        for each in scripts.iterate_revisions(head, "base", inclusive=False)
        if each.revision != head
    }
    return tuple(sorted(left - covered))


def together(revisions: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if revisions is None else (revisions,) if isinstance(revisions, str) else tuple(revisions)
