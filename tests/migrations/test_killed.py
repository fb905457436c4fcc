"""Migrators that are killed, two at once, a thousand databases: everything ends at its head, each revision once."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError

from manybase import Database, Databases, PartlyMigrated
from manybase.migrations import Migrated, Silent, status, upgrade
from tests.migrations.revisions import write_revision
from tests.servers.server import Server

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from sqlalchemy import make_url
from manybase import Database, Databases
from manybase.migrations import upgrade

given = json.loads(sys.argv[1])
databases = Databases(*(Database(name, url, migrations=given["folder"]) for name, url in given["urls"].items()))
upgrade(databases, jobs=4)
"""


def write_logged(folder: Path, count: int, pause: float) -> list[str]:
    """Revisions that note in a table of the database that they ran. On MariaDB a table may be left of one that did not
    end, so they do not mind it."""
    names = [f"rev{number:03}" for number in range(count)]
    for name, down in zip(names, [None, *names], strict=False):
        write_revision(
            folder,
            name,
            down,
            f"""
            import time
            op.create_table("log", sa.Column("revision", sa.String(20)), if_not_exists=True)
            op.create_table("of_{name}", sa.Column("id", sa.Integer), if_not_exists=True)
            time.sleep({pause})
            op.execute("INSERT INTO log VALUES ('{name}')")
            """,
        )
    return names


def logged(url: URL) -> Counter[str]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return Counter(connection.exec_driver_sql("SELECT revision FROM log").scalars())
    except DBAPIError:  # no table yet
        return Counter()
    finally:
        engine.dispose()


def has_logged(urls: dict[str, URL], count: int) -> bool:
    """Whether so many revisions have run, wherever; it looks no further than it must."""
    return any(total >= count for total in accumulate(sum(logged(url).values()) for url in urls.values()))


@pytest.fixture
def urls(
    postgresql: Server, mariadb: Server, create_database: Callable[[Server], URL], tmp_path: Path
) -> dict[str, URL]:
    """Twenty databases on three backends."""
    made = {f"pg{n}": create_database(postgresql).set(drivername="postgresql+psycopg") for n in range(8)}
    made |= {f"my{n}": create_database(mariadb).set(drivername="mysql+pymysql") for n in range(6)}
    return made | {f"lite{n}": URL.create("sqlite", database=str(tmp_path / f"{n}.db")) for n in range(6)}


def start(urls: dict[str, URL], folder: Path) -> subprocess.Popen[str]:
    import json

    given = json.dumps(
        {
            "folder": str(folder),
            "urls": {name: url.render_as_string(hide_password=False) for name, url in urls.items()},
        }
    )
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.server
@pytest.mark.postgresql
@pytest.mark.mariadb
@pytest.mark.parametrize("after", [5, 40])
def test_two_at_once_one_of_them_killed(urls: dict[str, URL], tmp_path: Path, after: int) -> None:
    """And a third one afterwards: every database at its head, each revision applied once."""
    names = write_logged(tmp_path / "history", 4, 0.2)  # long enough for whoever looks where it stands
    first, second = start(urls, tmp_path / "history"), start(urls, tmp_path / "history")
    deadline = time.monotonic() + 60
    while not has_logged(urls, after):  # the middle
        assert time.monotonic() < deadline
    first.kill()
    first.communicate()
    _, said = second.communicate(timeout=60)
    third = start(urls, tmp_path / "history")
    _, said_then = third.communicate(timeout=60)

    assert (-signal.SIGKILL, 0, 0) == (first.returncode, second.returncode, third.returncode), said + said_then
    assert {name: Counter(names) for name in urls} == {name: logged(url) for name, url in urls.items()}


class Interrupting(Silent):
    """Presses Ctrl-C after so many databases, and counts."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.begun = 0
        self.ended = 0

    def begins(self, database: str) -> None:
        self.begun += 1

    def ends(self, database: str, error: BaseException | None) -> None:
        self.ended += 1
        if self.ended == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_thousand_databases(tmp_path: Path) -> None:
    """Interrupted by Ctrl-C, it says how far it came; then it goes on to the end. Its memory stays small."""
    names = write_logged(tmp_path / "history", 2, 0)
    count = 1000
    databases = Databases(
        *(Database(f"d{n}", f"sqlite:///{tmp_path}/{n}.db", migrations=tmp_path / "history") for n in range(count))
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(KeyboardInterrupt) as caught:
        upgrade(databases, observer=Interrupting(300))

    report = caught.value.__cause__
    assert isinstance(report, PartlyMigrated)
    assert ({}, count) == (report.failed, len(report.done) + len(report.pending))
    assert 300 <= len(report.done) < 330
    assert str(report) in caught.value.__notes__

    observer = Interrupting(0)
    done: list[Migrated] = upgrade(databases, observer=observer)
    assert count == len(done)
    assert count - len(report.done) == observer.begun == observer.ended
    assert {(names[-1],)} == {state.current for state in status(databases).done.values()}
    with closing(create_engine(f"sqlite:///{tmp_path}/999.db").raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM log")
        assert (2,) == cursor.fetchone()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 100_000
