"""Jobs of a background task: bounded in time, and never two of one name."""

import asyncio
import threading

import pytest

from manybase.background import Jobs


@pytest.fixture(params=[False, True], ids=["threads", "greenlets"])
def jobs(request: pytest.FixtureRequest) -> Jobs:
    return Jobs(5, asyncio=request.param)


def test_job_that_fails(jobs: Jobs) -> None:
    """Its error is raised."""

    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(jobs.run("shop", fail))


def test_jobs_of_one_name(jobs: Jobs) -> None:
    """One after the other."""
    done: list[str] = []

    async def body() -> None:
        await jobs.run("shop", lambda: done.append("first"))
        await jobs.run("shop", lambda: done.append("second"))

    asyncio.run(body())

    assert ["first", "second"] == done


def test_job_that_is_late() -> None:
    """Nobody waits for it, another name is served, none of its own is until it has ended."""
    go, done = threading.Event(), []
    jobs = Jobs(0.05, asyncio=False)

    async def body() -> None:
        with pytest.raises(TimeoutError):
            await jobs.run("shop", go.wait)  # type: ignore[arg-type]  # what it returns is dropped
        with pytest.raises(TimeoutError):
            await jobs.run("shop", lambda: done.append("too early"))
        await jobs.run("audit", lambda: done.append("another"))
        go.set()
        await jobs.wait(5)
        await jobs.run("shop", lambda: done.append("afterwards"))

    asyncio.run(body())

    assert ["another", "afterwards"] == done
