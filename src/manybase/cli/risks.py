"""Risks: what revisions would do to databases in production, and whether somebody agrees to what loses data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from manybase.cli import printing
from manybase.cli.progress import Progress
from manybase.cli.questions import answer, is_answered
from manybase.engines import Databases
from manybase.errors import DestructiveMigration, listed
from manybase.migrations import Order, Outcome, Plan, Risk, risks_of
from manybase.migrations.places import places
from manybase.migrations.running import planned
from manybase.parts import Which

COLUMNS = ("database", "revision", "where", "what happens", "safer")


@dataclass(frozen=True)
class Danger:
    """One risk, and all databases that would run it."""

    databases: tuple[str, ...]
    risk: Risk

    @property
    def document(self) -> dict[str, Any]:
        return {"databases": list(self.databases), **asdict(self.risk)}


def look(
    databases: Databases,
    order: Order,
    names: Sequence[str] | None,
    *,
    jobs: int,
    keep_going: bool = True,
    tenants: Which = None,
) -> Outcome[Plan]:
    """What is to be done with each database. Changes nothing."""
    return planned(databases, order, places(databases, names, tenants), jobs=jobs, keep_going=keep_going)


def dangers(plans: Sequence[Plan]) -> list[Danger]:
    """Databases that share a history are told together, and their revisions read once."""
    alike: dict[Any, list[Plan]] = {}
    for each in plans:
        alike.setdefault((each.history.folder, each.dialect, each.direction, each.revisions), []).append(each)
    return [
        Danger(tuple(each.database for each in same), risk) for same in alike.values() for risk in risks_of(same[0])
    ]


def losses(plans: Sequence[Plan]) -> list[Danger]:
    return [each for each in dangers(plans) if each.risk.loses_data]


def show(found: Sequence[Danger]) -> None:
    rows = [
        (listed(each.databases), each.risk.revision, each.risk.where, each.risk.message, each.risk.safer)
        for each in found
    ]
    printing.table(COLUMNS, rows)


def agree(found: Sequence[Danger], progress: Progress, *, yes: bool, json: bool) -> None:
    """Show what would lose data, and ask, where somebody is there to answer; raises ``DestructiveMigration``."""
    if not found:
        return
    if not json:
        with progress.paused():
            show(found)
            if yes or (is_answered() and confirmed()):
                return
    elif yes:
        return
    names = dict.fromkeys(name for each in found for name in each.databases)
    told = [f"{listed(each.databases)}: {each.risk.where} ({each.risk.revision})" for each in found]
    raise DestructiveMigration(names, told)


def confirmed() -> bool:
    return answer("What these revisions drop is lost. Go on? [y/N] ").strip().lower() in ("y", "yes")
