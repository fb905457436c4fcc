"""Topologies: which databases one commit goes over, who decides there, and what its protocol passes through."""

from dataclasses import dataclass

from sqlalchemy import URL

from manybase.steps import STEPS, Step
from tests.ledgers import NAMES
from tests.servers.mixed import Drivers, Urls

Point = tuple[Step, str | None]
OF_EACH_PARTICIPANT = ("preparing", "prepared", "finishing", "finished")
OF_THE_COORDINATOR = ("recording", "deciding")


@dataclass(frozen=True)
class Topology:
    """Backends in the order in which they are declared, as first, second and third."""

    backends: tuple[str, ...]
    coordinator: str

    def __str__(self) -> str:
        return "+".join(self.backends)

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES[: len(self.backends)]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name != self.coordinator)

    def points(self) -> list[Point]:
        """Every step of a commit over all of them, with the database it is of."""
        return [(step, database) for step in STEPS for database in self._databases(step)]

    def urls(self, drivers: Drivers, fresh: dict[str, list[URL]]) -> dict[str, URL]:
        """Where they are: the next unused database of each backend, in declaration order."""
        left = {backend: iter(urls) for backend, urls in fresh.items()}
        return {
            name: Urls(drivers, {backend: next(left[backend])})[backend]
            for name, backend in zip(self.names, self.backends, strict=True)
        }

    def _databases(self, step: Step) -> tuple[str | None, ...]:
        if step in OF_EACH_PARTICIPANT:
            return self.others
        return (self.coordinator,) if step in OF_THE_COORDINATOR else (None,)


def commits(step: Step) -> bool:
    """Whether a commit that ends at this step is one: from "committed" on."""
    return STEPS.index(step) >= STEPS.index("committed")


PG, MY, LITE = "postgresql", "mariadb", "sqlite"
TWO = Topology((PG, PG), "first")
MIXED = Topology((PG, MY), "second")
XA = Topology((MY, MY, PG), "first")
IN_A_FILE = Topology((LITE, PG), "first")
# Several SQLite files commit in one transaction, without these steps: a topology of theirs needs points of its own.
TOPOLOGIES = [
    TWO,
    Topology((PG, PG, PG), "first"),
    MIXED,
    Topology((PG, PG, MY), "third"),
    XA,
    IN_A_FILE,
]
