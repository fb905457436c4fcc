"""The peak memory of a join: what a process needs that does nothing else, above what it needs for one row."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.join_cases import CASES, Case
from benchmarks.join_ways import WAYS, Places, ways

STATUS = Path("/proc/self/status")


def measure(places: Mapping[str, Places], cases: Sequence[Case]) -> None:
    """Prints a line for each pair and case."""
    print(f"\nPeak memory, MB above a first small join\n{'':26}" + "".join(f"{way:>12}" for way in WAYS), flush=True)
    for pair, where in places.items():
        for case in cases:
            peaks = "".join(f"{_peak_of(where, case, way):>12}" for way in WAYS)
            print(f"{pair:12}{case.name:14}{peaks}", flush=True)


def _peak_of(places: Places, case: Case, way: str) -> str:
    task = json.dumps({"places": places.to_json(), "case": case.name, "way": way})
    command = [sys.executable, "-c", "from benchmarks.join_memory import run; run()"]
    done = subprocess.run(command, input=task, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "-"


def run() -> None:
    """What the process does."""
    task = json.load(sys.stdin)
    by_name = {case.name: case for case in CASES}
    with ways(Places.from_json(task["places"])) as made:
        made.run(task["way"], CASES[0])
        before = _peak()
        made.run(task["way"], by_name[task["case"]])
        print(f"{(_peak() - before) / 1024:.0f}")


def _peak() -> int:
    """Kilobytes. Linux hands the peak of getrusage() on to the programs that a process starts; this one it does not."""
    if STATUS.exists():
        [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
