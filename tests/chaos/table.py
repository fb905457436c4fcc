"""Table: the outcomes of many trials as the manual shows them: each topology, all of them, the negative control."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.ledger import Told
from tests.chaos.trial import Outcome

Figures = dict[str, Any]

CONTROL = "Control: without the tombstone"
ALL = "**All**"

COLUMNS = {
    "workers": "workers killed",
    "recoverers": "recoverers killed",
    "restarts": "servers killed",
    "committed": "told committed",
    "refused": "not committed",
    "in doubt": "in doubt",
    "cancelled": "cancelled",
    "early": "failed before",
    "untold": "killed, committed",
    "recovered": "left prepared and recovered",
    "split": "split",
    "missing": "acknowledged but missing",
    "present": "refused but present",
    "left": "left in doubt",
    "seconds": "seconds",
}


def figures(name: str, outcome: Outcome) -> Figures:
    """One trial, to be written down."""
    told, judged = outcome.verdict.told, outcome.verdict
    return {
        "name": name,
        "workers": outcome.worker_kills,
        "recoverers": outcome.recoverer_kills,
        "restarts": outcome.restarts,
        "committed": told[Told.COMMITTED],
        "refused": told[Told.REFUSED],
        "in doubt": told[Told.IN_DOUBT],
        "cancelled": told[Told.CANCELLED] + told[Told.CANCELLED_COMMITTED] + told[Told.CANCELLED_REFUSED],
        "early": told[Told.EARLY],
        "untold": judged.untold,
        "recovered": outcome.recovered["committed"] + outcome.recovered["rolled back"],
        "split": len(judged.split),
        "missing": len(judged.missing),
        "present": len(judged.present),
        "left": judged.left,
        "seconds": outcome.seconds,
        "violations": outcome.violations,
        "why": dict(judged.why),
    }


def table(trials: Iterable[Figures]) -> str:
    """In Markdown."""
    sums: dict[str, Figures] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    for trial in trials:
        for name in (trial["name"], ALL) if trial["name"] != CONTROL else (CONTROL,):
            for column in COLUMNS:
                sums[name][column] += trial[column]
    names = [*(name for name in sums if name not in (ALL, CONTROL)), ALL, CONTROL]
    head = f"| | {' | '.join(COLUMNS.values())} |\n|-|{'-:|' * len(COLUMNS)}"
    return "\n".join([head, *(line(name, sums[name]) for name in names)])


def line(name: str, figures: Figures) -> str:
    return f"| {name} | {' | '.join(f'{round(figures[column]):,}' for column in COLUMNS)} |"


def write_down(path: Path, trial: Figures) -> None:
    with path.open("a") as file:
        file.write(json.dumps(trial) + "\n")


def written_down(path: Path | None) -> list[Figures]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
