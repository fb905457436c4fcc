"""Two runs of the same tests, compared: what passes plainly and not with manybase, and where the reason is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Outcomes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """A test that passes plainly and not with manybase."""

    test: str
    message: str
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """Only tests that made a session count; ``stale`` are listed differences that are none any more."""

    required: float
    tests: int
    passed_plainly: int
    passed_swapped: int
    differences: tuple[Difference, ...]
    stale: tuple[str, ...]
    not_swapped: tuple[str, ...]

    @property
    def percentage(self) -> float:
        return 100 * self.passed_swapped / self.passed_plainly if self.passed_plainly else 0.0

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if difference.reason is None)

    @property
    def conforms(self) -> bool:
        return self.percentage >= self.required and not (self.unexplained or self.stale or self.not_swapped)

    def as_json(self) -> dict[str, Any]:
        return {"percentage": round(self.percentage, 3), "conforms": self.conforms, **asdict(self)}


def compare(plain: Outcomes, swapped: Outcomes, reasons: Mapping[str, str], *, required: float) -> Comparison:
    """The comparison of a plain run with a swapped one; ``reasons`` are the differences that are written down."""
    passed = [test for test, was in plain.items() if was["outcome"] == "passed"]
    counted = [test for test in passed if plain[test]["sessions"]]
    differing = [test for test in passed if outcome(swapped, test) != "passed"]
    return Comparison(
        required=required,
        tests=len(plain),
        passed_plainly=len(counted),
        passed_swapped=sum(outcome(swapped, test) == "passed" for test in counted),
        differences=tuple(Difference(test, message(swapped, test), reasons.get(test)) for test in differing),
        stale=tuple(test for test in reasons if test in passed and test not in differing),
        not_swapped=tuple(
            test for test in counted if outcome(swapped, test) == "passed" and not swapped[test]["swapped"]
        ),
    )


def outcome(outcomes: Outcomes, test: str) -> str:
    return str(outcomes[test]["outcome"]) if test in outcomes else "missing"


def message(outcomes: Outcomes, test: str) -> str:
    return str(outcomes[test].get("message", "")) if test in outcomes else "was not run"
