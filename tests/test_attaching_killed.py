"""A process that commits over three attached files, killed at any moment: afterwards the files agree."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import NoReturn

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from manybase import Database, Databases, Session

pytestmark = pytest.mark.once

NAMES = ("a", "b", "c")
STEPS = {name: Table("steps", MetaData(), Column("id", Integer, primary_key=True)) for name in NAMES}


def three_files(folder: Path) -> Databases:
    return Databases(*(Database(name, f"sqlite:///{folder}/{name}.db", models=STEPS[name]) for name in NAMES))


def commit_for_ever(folder: Path, running: int) -> NoReturn:
    """One more row in each file, in an order of its own, each time; says before each that it runs."""
    databases = three_files(folder)
    while True:
        os.write(running, b".")
        with Session(databases) as session:
            for name in random.sample(NAMES, len(NAMES)):
                session.execute(insert(STEPS[name]).values())
            session.commit()


def kill_at_random(folder: Path) -> None:
    """A forked process that commits, killed within a tenth of a second of one of its first commits, however slow they
    are; forked, because starting one takes longer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        commit_for_ever(folder, writer)
    os.close(writer)  # else nobody would hear that the child has failed
    for _ in range(random.randint(1, 6)):
        os.read(reader, 1)
    time.sleep(random.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)


def counts(folder: Path) -> list[int]:
    """How many rows each file has, to whoever opens it next, which is when SQLite recovers it."""
    found: list[int] = []
    for name in NAMES:
        with closing(connect(folder / f"{name}.db")) as file:
            ((count,),) = file.execute("SELECT count(*) FROM steps")
            found.append(count)
    return found


def disagreements(folder: Path, kills: int, journal_mode: str = "delete") -> tuple[int, int]:
    """After how many kills the files did not agree, and how many rows there are; they are made to agree each time."""
    folder.mkdir(exist_ok=True)
    databases = three_files(folder)
    databases.create_all()
    databases.dispose()
    for name in NAMES:
        run(folder, name, f"PRAGMA journal_mode={journal_mode}")
    torn = 0
    for _ in range(kills):
        kill_at_random(folder)
        found = counts(folder)
        torn += len({*found}) > 1
        for name in NAMES:
            run(folder, name, f"DELETE FROM steps WHERE id > {min(found)}")
    return torn, min(counts(folder))


def run(folder: Path, name: str, sql: str) -> None:
    with closing(connect(folder / f"{name}.db", isolation_level=None)) as file:
        file.execute(sql).fetchall()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Forty times, in the mode that SQLite's own default is: all files have a transaction, or none has."""
    command = [sys.executable, "-m", "tests.test_attaching_killed", str(tmp_path), "40", "delete"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=Path(__file__).parents[1])
    torn, rows = done.stdout.split()

    assert 0 == int(torn)
    assert int(rows) > 40


if __name__ == "__main__":  # folder, number of kills, journal mode
    print(*disagreements(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
