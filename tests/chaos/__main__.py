"""The long run: thousands of kills over all topologies, in rounds, and a table of what came of them."""

import argparse
import itertools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import table, trial
from tests.chaos.cluster import cluster
from tests.chaos.table import CONTROL
from tests.chaos.topologies import TOPOLOGIES
from tests.chaos.trial import Trial

ROUND = 200  # kills; after each the databases are compared, and the figures written down
RESTART_EVERY = 3.0  # seconds, in every second trial


def main() -> int:
    options = parse()
    done = table.written_down(options.results)
    with cluster() as servers:
        for name, wanted in missing(options, done):
            outcome = trial.run(wanted, servers)
            figures = table.figures(name, outcome)
            done.append(figures)
            if options.results is not None:
                table.write_down(options.results, figures)
            print(
                f"{name}: {figures['workers']} kills in {outcome.seconds:.0f} s", *outcome.violations, file=sys.stderr
            )
            if outcome.violations and name != CONTROL:
                print(
                    *(f"--- {each}\n{servers[each].process.log_tail()}" for each in wanted.topology.servers), sep="\n"
                )
    print(table.table(done))
    return verdict(done)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000, help="of workers, in all (%(default)s)")
    parser.add_argument("--topology", action="append", help="only those whose name contains this; may be repeated")
    parser.add_argument("--results", type=Path, help="append each trial here, and go on where the file ends")
    parser.add_argument("--round", type=int, default=ROUND, help="kills between two verdicts (%(default)s)")
    return parser.parse_args()


def missing(options: argparse.Namespace, done: list[table.Figures]) -> Iterator[tuple[str, Trial]]:
    """What is still to be done: each topology in turn, without and with restarts of its servers; then the control."""
    chosen = [each for each in TOPOLOGIES if any(part in each.name for part in options.topology or [""])]
    plans = [
        (each.name + (", servers killed" if every else ""), each, every)
        for each in chosen
        for every in (None, RESTART_EVERY)
    ]
    left = {name: options.kills / len(plans) - killed(done, name) for name, _, _ in plans}
    for name, topology, every in itertools.cycle(plans):
        if all(kills <= 0 for kills in left.values()):
            break
        if left[name] > 0:
            kills = min(options.round, math.ceil(left[name]))
            left[name] -= kills
            yield name, Trial(topology=topology, kills=kills, restart_every=every)
    if not any(each["name"] == CONTROL for each in done):
        yield CONTROL, Trial(topology=TOPOLOGIES[1], kills=100, recoveries=100, presuming=True)


def killed(done: list[table.Figures], name: str) -> int:
    return sum(int(each["workers"]) for each in done if each["name"] == name)


def verdict(done: list[table.Figures]) -> int:
    """The exit code."""
    broken = [f"{each['name']}: {why}" for each in done if each["name"] != CONTROL for why in each["violations"]]
    if not any(each["split"] for each in done if each["name"] == CONTROL):
        broken.append(f"{CONTROL}: no split, so this run would not have seen one anywhere")
    print("", *(broken or ["Nothing split, nothing acknowledged is missing, nothing refused is there."]), sep="\n")
    return bool(broken)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(os.EX_SOFTWARE if code else os.EX_OK)
