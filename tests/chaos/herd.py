"""Herd: processes of one kind; when one is killed, another takes its place."""

import logging
import multiprocessing
import random
import secrets
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

# Forked from a process that has imported everything and opened nothing: most are killed before they are a second old.
processes = multiprocessing.get_context("forkserver")
DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pymysql", "asyncmy", "aiosqlite")
DIALECTS = ("postgresql.psycopg", "postgresql.psycopg2", "postgresql.asyncpg", "mysql.pymysql", "mysql.asyncmy")
processes.set_forkserver_preload(
    ["tests.chaos.workers", "tests.chaos.recoverers", *DRIVERS, *(f"sqlalchemy.dialects.{each}" for each in DIALECTS)]
)


def prepare_process() -> None:
    """First thing in each: numbers of its own, and silence about servers that are away."""
    random.seed(secrets.randbits(64))  # else all are forked with the same
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started them
    logging.disable()
    warnings.simplefilter("ignore")


def orphaned() -> bool:
    parent = multiprocessing.parent_process()
    return parent is None or not parent.is_alive()


class Herd:
    """Members differ by the arguments of their body. They only ever end by SIGKILL."""

    def __init__(self, body: Callable[..., None], members: list[tuple[Any, ...]]) -> None:
        self.kills = 0
        self.deaths: list[str] = []
        """Of members that ended by themselves."""
        self._body = body
        self._members = members
        self._running = [self._start(member) for member in members]
        self._born = [time.monotonic()] * len(members)

    def kill_one(self) -> None:
        """The oldest of a few: one that has only just begun has nothing to lose yet."""
        index = min(random.choices(range(len(self._members)), k=3), key=self._born.__getitem__)
        self.kills += self._kill(index)
        self._running[index] = self._start(self._members[index])
        self._born[index] = time.monotonic()

    def close(self) -> None:
        for index in range(len(self._members)):
            self.kills += self._kill(index)

    def _kill(self, index: int) -> bool:
        process = self._running[index]
        process.kill()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        if not killed:
            self.deaths.append(f"{self._body.__name__} ended by itself: {process.exitcode}")
        process.close()
        return killed

    def _start(self, arguments: tuple[Any, ...]) -> Any:
        process = processes.Process(target=self._body, args=arguments, daemon=True)
        process.start()
        return process
