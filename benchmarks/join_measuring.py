"""Rounds of joins, and the table of what they took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.join_cases import Case, Rows, comparable
from benchmarks.join_ways import BY_HAND, MANYBASE, NATIVE, Places, Ways, ways

BY_HAND_EACH = 3
"""Rounds: it takes seconds, and is a yardstick only."""

HEADS = "native ms", "manybase ms", "ratio", "must", "goal", "", "by hand ms", "ratio", "rows moved", "  answer"
WIDTHS = 11, 13, 8, 7, 7, 8, 12, 8, 12, 0


@dataclass(frozen=True)
class Measured:
    """Seconds by way, those of a round together."""

    rounds: Sequence[dict[str, float]]
    moved: int | None
    answer: str

    def median(self, way: str) -> float | None:
        took = [each[way] for each in self.rounds if way in each]
        return statistics.median(took) if took else None

    def ratio(self, way: str) -> float | None:
        ratios = [each[way] / each[NATIVE] for each in self.rounds if way in each]
        return statistics.median(ratios) if ratios else None


def measure(title: str, places: Places, cases: Sequence[Case], rounds: int, *, bars: str | None = None) -> None:
    """Prints a line for each case. ``bars``: the pair whose must and goal stand beside it."""
    print(f"\n{title}: medians of {rounds} rounds\n{'':14}{_line(HEADS)}", flush=True)
    with ways(places) as made:
        for case in cases:
            measured = _measured(made, case, rounds)
            print(f"{case.name:14}{_line(_cells(case, measured, bars))}", flush=True)


def _measured(ways: Ways, case: Case, rounds: int) -> Measured:
    expected, _ = ways.run(NATIVE, case)
    wrong = [BY_HAND] if _differ(case, expected, ways.run(BY_HAND, case)[0]) else []
    running, moved = [NATIVE, MANYBASE], None
    try:
        wrong += [MANYBASE] if _differ(case, expected, ways.run(MANYBASE, case)[0]) else []
        moved = ways.moved(case)
    except Exception as error:  # what one case fails with must not hide the others
        running, wrong = [NATIVE], [*wrong, f"{MANYBASE} ({type(error).__name__}: {str(error).splitlines()[0]})"]
    took = [_round(ways, case, number, running) for number in range(rounds)]
    return Measured(took, moved, f"wrong: {', '.join(wrong)}" if wrong else "equal")


def _round(ways: Ways, case: Case, number: int, running: Sequence[str]) -> dict[str, float]:
    turn = [*running, BY_HAND] if number % BY_HAND_EACH == 0 else list(running)
    start = number % len(turn)
    return {way: ways.run(way, case)[1] for way in turn[start:] + turn[:start]}


def _differ(case: Case, expected: Rows, actual: Rows) -> bool:
    """In values or their types."""
    first, second = comparable(case, expected), comparable(case, actual)
    return first != second or _types(first) != _types(second)


def _types(rows: Rows) -> list[list[type]]:
    return [[type(value) for value in row] for row in rows]


def _cells(case: Case, measured: Measured, bars: str | None) -> list[str]:
    must, goal = case.target.of(bars) if bars else (None, None)
    ratio = measured.ratio(MANYBASE)
    return [
        _ms(measured.median(NATIVE)),
        _ms(measured.median(MANYBASE)),
        _number(ratio),
        _number(must),
        _number(goal),
        _verdict(ratio, must, goal),
        _ms(measured.median(BY_HAND)),
        _number(measured.ratio(BY_HAND)),
        "-" if measured.moved is None else f"{measured.moved:,}",
        f"  {measured.answer}",
    ]


def _verdict(ratio: float | None, must: float | None, goal: float | None) -> str:
    if ratio is None or must is None or goal is None:
        return ""
    return "goal" if ratio <= goal else "must" if ratio <= must else "MISSED"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
