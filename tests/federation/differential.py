"""Differential: random selects, each asked of a world and of the one database that has everything.

``python -m tests.federation.differential --world pg+mariadb --minutes 10`` asks on and on, and writes a line of JSON
for each difference and one for the end. ``--break RULE`` switches a rule of the planner off: then there must be some.
"""

import argparse
import importlib
import itertools
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.orm import Session

from tests.federation.choices import Choices, shrunk
from tests.federation.comparing import Bag, different
from tests.federation.generator import Generator
from tests.federation.judging import Unsupported, telling
from tests.federation.worlds import ALONE, SQLITE, WORLDS, Places, World, ask_oracle, with_executor
from tests.servers.startup import STARTERS, Startup

RULES = "manybase.federation.rules"  # has `broken: set[str]`, the soundness rules that are switched off


@dataclass(frozen=True)
class Found:
    """A statement that a world answers otherwise than the oracle, or not at all."""

    world: str
    seed: str
    why: str
    statement: str
    choices: list[int] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.world}, seed {self.seed}: {self.why}\n{self.statement}\nChoices(given={self.choices})"


class Differential:
    """Asks one world, and counts what came of it: same, different, refused, beyond the oracle; and what had rows.

    ``tamper`` is called with each session of the world first: whatever it does must be found.
    """

    def __init__(
        self,
        places: Places,
        world: World,
        *,
        asyncio: bool = False,
        executor: str | None = None,
        tamper: Callable[[Session], Any] | None = None,
    ) -> None:
        self._oracle = places.oracle(world.oracle)
        self._running = places.running(world, asyncio=asyncio)
        self._world = world
        self._executor = executor
        self._tamper = tamper
        self.counts: Counter[str] = Counter()

    def ask(self, seed: str) -> Found | None:
        """Make the statement of a seed and ask both; a difference comes back as small as it could be made."""
        choices = Choices(seed)
        verdict, why = self.compare(self.make(choices))
        self.counts[verdict] += 1
        if verdict != "different":
            return None
        smallest = shrunk(choices.taken, lambda given: self.compare(self.make(Choices(given=given)))[0] == verdict)
        made = self.make(Choices(given=smallest))
        return Found(self._world.name, seed, self.compare(made)[1] or why, sql(made[0]), smallest)

    def make(self, choices: Choices) -> tuple[Any, bool]:
        full = "mariadb" not in self._world.oracle
        return Generator(choices, full=full).statement()

    def is_of_another(self, statement: Any) -> bool:
        """Whether one database answers all of it, and another kind of database is the oracle."""
        owners = self._running.databases.router.candidates(statement)
        return len(owners) == 1 and getattr(self._world, next(iter(owners))) != self._world.oracle

    def compare(self, made: tuple[Any, bool]) -> tuple[str, str]:
        statement, ordered = made
        if self.is_of_another(statement):
            return "of one database", "of another kind than the oracle: what it makes of it is right"

        def body(session: Session) -> Any:
            rows = session.execute(statement).all()
            return rows if ordered else Bag(rows)

        try:
            right = ask_oracle(self._oracle, telling(body, self._world, None, expected=True))
        except SQLAlchemyError as error:
            return "beyond the oracle", str(error)

        def asked(session: Session) -> Any:
            if self._tamper is not None:
                self._tamper(session)
            return with_executor(self._executor, telling(body, self._world, None, expected=False))(session)

        try:
            answer = self._running.run(asked)
        except Unsupported as refusal:
            return "refused", str(refusal)
        except Exception as error:
            return "different", f"{type(error).__name__}: {error}"
        self.counts["with rows"] += bool(right)
        why = different(right, answer)
        return ("same", "") if why is None else ("different", why)


def sql(statement: Any) -> str:
    try:
        return str(statement.compile(compile_kwargs={"literal_binds": True}))
    except Exception:  # a literal without a text, or a construct without a general form
        return str(statement)


def break_rule(name: str) -> None:
    """Switch a soundness rule of the planner off, for the control."""
    rules = importlib.import_module(RULES)
    rules.broken.add(vars(rules)[name])


def seeds(start: str) -> Iterator[str]:
    return (f"{start}-{number}" for number in itertools.count())


def main() -> int:
    options = parse()
    world = next(world for world in [*WORLDS, *ALONE] if world.name == options.world)
    if options.break_:
        break_rule(options.break_)
    warnings.simplefilter("ignore", SAWarning)
    startup = Startup(world.backends & set(STARTERS))
    with tempfile.TemporaryDirectory() as folder:
        places = Places(startup.server, Path(folder))
        try:
            differential = Differential(places, world, asyncio=options.asyncio, executor=options.executor)
            found = run(differential, options)
        finally:
            places.close()
            startup.close()
    return bool(found) is not bool(options.break_)


def run(differential: Differential, options: argparse.Namespace) -> int:
    """How many differences there were until the time was over."""
    began, found = time.monotonic(), 0
    for seed in seeds(options.seed):
        if time.monotonic() - began > options.minutes * 60 or found >= options.most:
            break
        if (difference := differential.ask(seed)) is not None:
            found += 1
            tell(options, **vars(difference))
    tell(options, world=options.world, seed=options.seed, broken=options.break_, counts=differential.counts)
    return found


def tell(options: argparse.Namespace, **facts: Any) -> None:
    line = json.dumps(facts, ensure_ascii=False)
    print(line, flush=True)
    if options.results is not None:
        with options.results.open("a") as file:
            print(line, file=file)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.federation.differential", description=__doc__)
    parser.add_argument("--world", choices=[world.name for world in [*WORLDS, *ALONE]], default=f"{SQLITE}+{SQLITE}")
    parser.add_argument("--minutes", type=float, default=1, help="how long to go on (%(default)s)")
    parser.add_argument("--seed", default="0", help="another one makes other statements (%(default)s)")
    parser.add_argument("--most", type=int, default=10, help="differences after which to stop (%(default)s)")
    parser.add_argument("--async", dest="asyncio", action="store_true", help="through AsyncSession")
    parser.add_argument("--executor", choices=["python", "duckdb"], help="force one, instead of the one that is chosen")
    breaking = "switch off a rule, such as KEEP_FULL; no difference is a failure then"
    parser.add_argument("--break", dest="break_", metavar="RULE", help=breaking)
    parser.add_argument("--results", type=Path, help="write the lines there too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
