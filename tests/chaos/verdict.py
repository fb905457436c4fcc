"""Verdict: what the databases hold in the end, compared with what clients were told."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from tests.chaos.ledger import Line, Told

Rows = Mapping[str, Set[int]]


@dataclass(frozen=True)
class Verdict:
    """Each set of units but the last is a broken promise."""

    told: Counter[Told]
    why: Counter[str]
    """The errors that clients got."""
    split: set[int] = field(default_factory=set)
    """In some databases only."""
    missing: set[int] = field(default_factory=set)
    """Acknowledged, and not everywhere."""
    present: set[int] = field(default_factory=set)
    """Refused, and somewhere."""
    strange: set[int] = field(default_factory=set)
    """Told with an error that no commit should raise."""
    left: int = 0
    """Transactions that are still prepared."""
    untold: int = 0
    """Units that are committed though their worker was killed before it could say so."""
    evidence: dict[int, str] = field(default_factory=dict)
    """Of the broken ones."""

    @property
    def violations(self) -> list[str]:
        counted = {
            "split": self.split,
            "acknowledged but missing": self.missing,
            "refused but present": self.present,
            "ended with an error that no commit should raise": self.strange,
        }
        found = [f"{len(ids)} units {what}: {self._known_of(ids)}" for what, ids in counted.items() if ids]
        return found + ([f"{self.left} transactions left in doubt"] if self.left else [])

    def _known_of(self, ids: set[int]) -> list[str]:
        """What is known of the first few."""
        return [self.evidence[number] for number in sorted(ids)[:5]]


def judge(lines: list[Line], rows: Rows, left: int) -> Verdict:
    somewhere = set().union(*rows.values())
    everywhere = somewhere.intersection(*rows.values())
    judged = Verdict(
        told=Counter(line.told for line in lines),
        why=Counter(f"{line.told.value} {line.why.partition(':')[0]}" for line in lines if line.why != "-"),
        split=somewhere - everywhere,
        missing={line.number for line in lines if line.told.everywhere} - everywhere,
        present={line.number for line in lines if line.told.nowhere} & somewhere,
        strange={line.number for line in lines if line.told in (Told.STRANGE, Told.TORN)},
        left=left,
        untold=len(everywhere - {line.number for line in lines}),
    )
    by_number = {line.number: line for line in lines}
    for number in judged.split | judged.missing | judged.present | judged.strange:
        line = by_number.get(number)
        told = "nobody was told" if line is None else f"told {line.told.name} ({line.why})"
        judged.evidence[number] = f"{number} in {[name for name in rows if number in rows[name]]}, {told}"
    return judged
