"""Recovery in the background, where no server is needed: when it runs at all, and how it ends."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manybase import Database, Databases
from manybase.recovering import recovering
from tests.test_secrets import TRACE, url

NOBODY = "@127.0.0.1:1/shop"
DRIVERS = ["psycopg", "psycopg2"]


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait for it, and fail where it does not happen."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def beside_a_file(folder: Path, server: str) -> Databases:
    return Databases(Database("audit", f"sqlite:///{folder / 'audit'}.db"), Database("shop", server))


def test_only_files(tmp_path: Path) -> None:
    """Nothing can be in doubt: nothing runs, and nobody is told."""
    databases = Databases(*(Database(name, f"sqlite:///{tmp_path / name}.db") for name in ("shop", "audit")))

    async def run() -> list[int]:
        async with recovering(databases):
            return [len(tasks()), len(databases.unfinished.wakers)]

    assert [0, 0] == asyncio.run(run())


def test_single_server() -> None:
    """The same: there is nobody to commit together with; what is in memory does not count."""
    databases = Databases(Database("shop", url()), Database("cache", "sqlite://"))

    async def run() -> int:
        async with recovering(databases):
            return len(tasks())

    assert 0 == asyncio.run(run())


@pytest.mark.parametrize("driver", DRIVERS)
def test_server_that_is_down(tmp_path: Path, driver: str, caplog: pytest.LogCaptureFixture) -> None:
    """The block is entered and left; one warning names the database, however often it is tried, and no secret."""
    caplog.set_level(logging.INFO)
    databases = beside_a_file(tmp_path, url(f"postgresql+{driver}", end=NOBODY))

    async def run() -> None:
        async with recovering(databases, every=0.02):
            await until(lambda: caplog.records)
            await asyncio.sleep(0.2)

    asyncio.run(run())

    assert ["Recovery cannot look into 'shop': it does not answer."] == [each.message for each in caplog.records]
    assert TRACE not in caplog.text
    assert not databases.unfinished.wakers


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql+psycopg", "mysql+asyncmy", "mysql+aiomysql"])
def test_end_in_the_middle_of_a_pass(tmp_path: Path, silent: int, scheme: str) -> None:
    """A server that keeps it waiting does not keep the application from ending, and no task is left."""
    databases = beside_a_file(tmp_path, url(scheme, end=f"@127.0.0.1:{silent}/shop"))

    async def run() -> tuple[float, int]:
        async with recovering(databases, every=0.01):
            await asyncio.sleep(0.3)
            started = time.monotonic()
        return time.monotonic() - started, len(tasks())

    took, left = asyncio.run(run())

    assert took < 2
    assert 0 == left


@pytest.mark.parametrize("driver", DRIVERS)
def test_threads(tmp_path: Path, driver: str) -> None:
    """None is left, whichever kind of driver there is."""
    before = set(threading.enumerate())
    databases = beside_a_file(tmp_path, url(f"postgresql+{driver}", end=NOBODY))

    async def run() -> None:
        async with recovering(databases, every=0.01):
            await asyncio.sleep(0.2)

    asyncio.run(run())
    deadline = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert set() == left


def test_pass_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The next one comes; the warning says the kind of error only."""
    databases = beside_a_file(tmp_path, url(end=NOBODY))
    called: list[object] = []

    def fail(*_: object) -> None:
        called.append(None)
        raise ZeroDivisionError(url())

    monkeypatch.setattr("manybase.recovery.Pass.visit", fail)

    async def run() -> None:
        async with recovering(databases, every=0.01):
            await until(lambda: len(called) >= 3)

    asyncio.run(run())

    assert "Recovery failed in 'shop' (ZeroDivisionError)." == caplog.messages[0]
    assert TRACE not in caplog.text


def test_hand_over_after_the_end(tmp_path: Path) -> None:
    """Nobody is woken any more, and nothing fails."""
    databases = beside_a_file(tmp_path, url(end=NOBODY))

    async def run() -> None:
        async with recovering(databases):
            (waker,) = databases.unfinished.wakers
            wakers.append(waker)

    wakers: list[Callable[[], None]] = []
    asyncio.run(run())
    wakers[0]()
    databases.unfinished.hand_over("0" * 28, ["shop"], "in doubt")

    assert {"0" * 28} == databases.unfinished.transactions
