"""Trial: one topology under chaos until enough has happened, and the verdict."""

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from tests.chaos import aftermath, recoverers, topologies, verdict, workers
from tests.chaos.herd import Herd
from tests.chaos.ledger import Told, lines
from tests.chaos.restarts import NoRestarts, Restarts
from tests.chaos.topologies import DRIVERS, Place, Servers, Topology
from tests.servers.server import Server

PATIENCE = 120  # seconds beyond those the kills take, for the rest of what is wanted


@dataclass(frozen=True, kw_only=True)
class Trial:
    """At least so many kills of workers, units committed, and transactions in doubt that recoverers ended; and one
    restart, if any."""

    topology: Topology
    kills: int
    commits: int = 20
    recoveries: int = 5
    restart_every: float | None = None
    """Seconds, on average."""
    presuming: bool = False
    """The negative control: recoverers that presume abort and leave no tombstone."""
    workers_of_each: int = 2
    """Of each combination of drivers."""
    pause: float = 0.05
    """Seconds between two kills, on average."""


@dataclass(frozen=True)
class Outcome:
    verdict: verdict.Verdict
    worker_kills: int
    recoverer_kills: int
    restarts: int
    recovered: Counter[str]
    deaths: list[str]
    seconds: float

    @property
    def violations(self) -> list[str]:
        return self.verdict.violations + self.deaths


def run(trial: Trial, servers: Servers) -> Outcome:
    """What came of it. The servers run afterwards, and the databases are gone."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = topologies.make(trial.topology, servers, folder)
        try:
            killed, recovering, restarts = torment(trial, servers, place, folder)
            for server in trial.topology.servers:
                servers[server].start()
            left = aftermath.settle(place, lambda url: server_of(servers, url))
            judged = verdict.judge(lines(folder / "told"), aftermath.rows(place), left)
        finally:
            for server in trial.topology.servers:
                servers[server].start()
            topologies.drop(trial.topology, servers, place)
        return Outcome(
            verdict=judged,
            worker_kills=killed.kills,
            recoverer_kills=recovering.kills,
            restarts=restarts,
            recovered=Counter(recoverers.ended(folder / "recovered")),
            deaths=killed.deaths + recovering.deaths,
            seconds=time.monotonic() - began,
        )


def torment(trial: Trial, servers: Servers, place: Place, folder: Path) -> tuple[Herd, Herd, int]:
    told, recovered = folder / "told", folder / "recovered"
    committing = Herd(workers.work, [(place, told, drivers) for drivers in DRIVERS * trial.workers_of_each])
    recovering = Herd(recoverers.recover, [(place, recovered, drivers, trial.presuming) for drivers in DRIVERS[1:]])
    running = [servers[server] for server in trial.topology.servers]
    restarting = Restarts(running, every=trial.restart_every) if trial.restart_every else NoRestarts()
    deadline = time.monotonic() + PATIENCE + trial.kills * trial.pause * 4
    try:
        with restarting:
            while committing.kills < trial.kills or not enough(trial, told, recovered, restarting.count):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Too little happened: {committing.kills} kills, {happened(told, recovered)}.")
                wait_for_more(told, random.uniform(0, 2 * trial.pause))
                committing.kill_one()
                if random.random() < 0.05:
                    recovering.kill_one()
    finally:
        committing.close()
        recovering.close()
    return committing, recovering, restarting.count


def wait_for_more(told: Path, seconds: float) -> None:
    """And until a client was told something: workers that are killed before they have begun would prove nothing."""
    before, deadline = size(told), time.monotonic() + 20 * seconds
    time.sleep(seconds)
    while size(told) == before and time.monotonic() < deadline:
        time.sleep(0.005)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def enough(trial: Trial, told: Path, recovered: Path, restarts: int) -> bool:
    commits, recoveries = happened(told, recovered)
    restarted = restarts > 0 or trial.restart_every is None
    return commits >= trial.commits and recoveries >= trial.recoveries and restarted


def happened(told: Path, recovered: Path) -> tuple[int, int]:
    """Units committed, and transactions that recoverers ended."""
    commits = sum(line.told is Told.COMMITTED for line in lines(told))
    return commits, sum(ended != "left" for ended in recoverers.ended(recovered))


def server_of(servers: Servers, url: URL) -> Server:
    return next(each for each in servers.values() if (each.address.host, each.address.port) == (url.host, url.port))
