"""The workspace of a statement: its tables, its rows, its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Integer, String
from sqlalchemy.dialects import postgresql

from manybase import UnsupportedStatement
from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.root import Root, root
from manybase.federation.duckdb.values import Column
from manybase.federation.duckdb.workspace import CHUNK, Workspace
from tests.forks import in_child

HOME = postgresql.dialect()
ID, NAME = Column("id", Integer(), HOME), Column("name", String(), HOME, carried=True)
FOREVER = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


def connections() -> int:
    """How many DuckDB has, without the one that asks."""
    with Workspace() as asking:
        row = asking.execute("SELECT * FROM duckdb_connection_count()").fetchone()
        assert row is not None
        return int(row[0]) - 1


def test_rows(workspace: Workspace) -> None:
    """They come back as a DBAPI cursor gives them, with carried values decoded."""
    given = [(1, "a"), (2, None), (3, "c"), (4, "d")]

    assert 4 == workspace.load("t", [ID, NAME], iter(given))

    result = workspace.execute("SELECT name, id FROM t WHERE id > $least ORDER BY id", {"least": 0}, carried=[0])
    assert ["name", "id"] == [each[0] for each in result.description]
    assert ("a", 1) == result.fetchone()
    assert [(None, 2), ("c", 3)] == result.fetchmany(2)
    assert [("d", 4)] == result.fetchall()
    assert (None, [], []) == (result.fetchone(), result.fetchmany(), result.fetchall())


def test_no_rows(workspace: Workspace) -> None:
    """The table is there, with its types."""
    assert 0 == workspace.load("t", [ID, NAME], [])
    assert [] == workspace.execute("SELECT * FROM t WHERE id = 1", carried=[1]).fetchall()


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_chunks(workspace: Workspace, count: int) -> None:
    """However many rows there are, each is there once."""
    given = [(number, str(number)) for number in range(count)]

    assert count == workspace.load("t", [ID, NAME], given)
    assert given == workspace.execute("SELECT id, name FROM t ORDER BY id", carried=[1]).fetchall()


def test_rows_are_taken_in_chunks(workspace: Workspace) -> None:
    """No more of them are Python values at a time than fit a chunk."""
    alive, most = set[int](), 0

    class Row(tuple[int]):
        def __del__(self) -> None:
            alive.discard(id(self))

    def given() -> Iterator[Row]:
        nonlocal most
        for number in range(5 * CHUNK):
            row = Row((number,))
            alive.add(id(row))
            most = max(most, len(alive))
            yield row

    workspace.load("t", [ID], given())

    assert most <= 2 * CHUNK + 1


def test_parameters_that_are_not_in_the_statement(workspace: Workspace) -> None:
    """They are left out: a plan may have applied the condition at home."""
    assert [(1,)] == workspace.execute("SELECT $a", {"a": 1, "b": 2}).fetchall()
    assert [("$b",)] == workspace.execute("SELECT '$b'", {"a": 1}).fetchall()


def test_names(workspace: Workspace) -> None:
    """Names of tables and columns may be anything."""
    workspace.load('t"; x', [Column('a "b" $c', Integer(), HOME)], [(1,)] * (CHUNK + 1))

    assert [(CHUNK + 1,)] == workspace.execute('SELECT count("a ""b"" $c") FROM "t""; x"').fetchall()


def test_nobody_else_sees_the_tables(workspace: Workspace) -> None:
    """Statements use the same names at the same time."""
    with Workspace() as other:
        workspace.load("t", [ID], [(1,)])
        other.load("t", [ID], [(2,)])

        assert [(1,)] == workspace.execute("SELECT * FROM t").fetchall()
        assert [(2,)] == other.execute("SELECT * FROM t").fetchall()


def test_close() -> None:
    """Nothing of it is left, also where a result was not read to its end or the statement failed."""
    before = connections()
    for _ in range(20):
        workspace = Workspace()
        workspace.load("t", [ID], ((number,) for number in range(5000)))
        workspace.execute("SELECT * FROM t").fetchone()
        with pytest.raises(dbapi.ProgrammingError):
            workspace.execute("SELECT nothing")
        workspace.close()
        workspace.close()

    assert before == connections()


def test_interrupt(workspace: Workspace) -> None:
    """Another thread ends what runs; the workspace can be closed as ever."""
    begun = time.monotonic()
    timer = threading.Timer(0.1, workspace.interrupt)
    timer.start()
    with pytest.raises(dbapi.OperationalError):
        workspace.execute(FOREVER).fetchall()
    timer.join()

    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT 1 // 0", dbapi.DataError),
        ("SELECT CAST('x' AS INTEGER)", dbapi.DataError),
        ("SELECT 9223372036854775807 + 1", dbapi.DataError),
        ("SELECT FROM WHERE", dbapi.ProgrammingError),
        ("SELECT nothing", dbapi.ProgrammingError),
    ],
)
def test_errors(workspace: Workspace, sql: str, error: type[Exception]) -> None:
    """They are those of a DBAPI, so SQLAlchemy wraps them as it wraps a driver's."""
    with pytest.raises(error):
        workspace.execute(sql).fetchall()


def test_memory_limit(tmp_path: Path) -> None:
    """What exceeds it goes to the spill directory, and is gone from there afterwards."""
    with Workspace(memory_limit="40MB", spill_directory=str(tmp_path / "spill")) as workspace:
        workspace.execute("CREATE TEMP TABLE t AS SELECT i, md5(CAST(i AS VARCHAR)) m FROM range(1500000) r(i)")
        spilled = list((tmp_path / "spill").iterdir())
        assert [(1_500_000,)] == workspace.execute("SELECT count(DISTINCT m) FROM t").fetchall()

    assert spilled
    assert 0 == sum(each.stat().st_size for each in (tmp_path / "spill").iterdir() if "storage" in each.name)


def test_out_of_memory() -> None:
    """Where it may not spill it is an error that SQLAlchemy knows."""
    with Workspace(memory_limit="20MB", spill_directory="") as workspace, pytest.raises(dbapi.OperationalError):
        workspace.execute(
            "CREATE TEMP TABLE t AS SELECT i, md5(CAST(i AS VARCHAR)) FROM range(3000000) r(i)"
        ).fetchall()


def test_files_are_out_of_reach(workspace: Workspace, tmp_path: Path) -> None:
    """A statement reads what was loaded and nothing else."""
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for sql in (f"SELECT * FROM '{tmp_path}/secret.csv'", f"ATTACH '{tmp_path}/new.db'", "SELECT * FROM workspace"):
        with pytest.raises(dbapi.Error):
            workspace.execute(sql).fetchall()


def test_threads_at_first_use() -> None:
    """They make one root together."""
    made = Root()
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def use() -> None:
        barrier.wait()
        cursor = made.cursor({}, "it")
        found.append(cursor.execute("SELECT count(*) FROM duckdb_databases()").fetchall())
        cursor.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert 8 == len(found)
    assert 1 == len(made._connections)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork(workspace: Workspace) -> None:
    """A child makes a root of its own; its parent's statements go on."""
    workspace.load("t", [ID], [(1,)])

    def use() -> Any:
        inherited = len(root()._connections)
        with Workspace() as other:
            other.load("t", [ID], [(2,)])
            return inherited, other.execute("SELECT * FROM t").fetchall()

    assert "(0, [(2,)])" == in_child(use)
    assert [(1,)] == workspace.execute("SELECT * FROM t").fetchall()
    assert root() is root()


def test_without_duckdb() -> None:
    """The error names the part that needs it and how to install it; nothing imports it before."""
    program = """
import sys
sys.modules["duckdb"] = None
from manybase.federation.duckdb.workspace import Workspace
from manybase import UnsupportedStatement
try:
    Workspace(part="A window function")
except UnsupportedStatement as error:
    print(error.part, "|", error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.startswith("A window function |")
    assert 'pip install "manybase[join]"' in run.stdout


def test_import_is_light() -> None:
    """Compiling a statement does not need DuckDB."""
    program = """
import sys
from sqlalchemy import select, func
from manybase.federation.duckdb.dialect import DuckDBDialect
from manybase.federation.duckdb.workspace import Workspace
print(select(func.avg(func.length("a"))).compile(dialect=DuckDBDialect()), "duckdb" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip().endswith("False")


def test_unsupported_statement_is_raised_before_anything_is_loaded(workspace: Workspace) -> None:
    """The table is not there."""
    with pytest.raises(UnsupportedStatement):
        workspace.load("t", [ID], [("x",)])
    with pytest.raises(dbapi.ProgrammingError):
        workspace.execute("SELECT * FROM t")


def test_an_outer_join_that_conditions_make_an_inner_one(workspace: Workspace) -> None:
    """What DuckDB fails with an internal error for, unless an optimizer of its own is off."""
    for name in ("one", "two", "three", "four"):
        workspace.load(name, [Column(each, Integer(), HOME) for each in ("a", "b")], [(1, 1), (2, 1)])
    condition = "two.a = one.a AND (one.b < two.b OR three.b > 0) AND three.a IS NULL"
    joined = f"one JOIN (two LEFT JOIN three ON two.b = three.a) ON {condition}"

    result = workspace.execute(f"SELECT four.a FROM ({joined} LEFT JOIN four ON two.b = four.a) WHERE two.a = 1")

    assert [] == result.fetchall()


BROKEN = """SELECT f0.a FROM f0 LEFT JOIN f1 ON f0.a = f1.b WHERE EXISTS (
  SELECT 1 FROM (f2 FULL JOIN (f3 JOIN f4 ON f3.a = f4.a) ON f2.a = f3.a) WHERE f2.a = f0.a
  AND NOT EXISTS (SELECT 1 FROM f5 WHERE f5.a = f3.a AND f0.a BETWEEN f1.a AND f1.d)
  AND f1.c NOT IN (SELECT f6.a FROM f6))"""
A = Column("a", Integer(), HOME)
ABCD = [Column(each, Integer(), HOME) for each in "abcd"]


def loaded(*, optimizes: bool) -> Workspace:
    workspace = Workspace(optimizes=optimizes)
    for name, values in {"f2": 12, "f3": 40, "f4": 40}.items():
        count = {"f2": 56, "f3": 40, "f4": 119}[name]
        workspace.load(name, [A], [(number % values,) for number in range(count)])
    workspace.load("f0", [A], [(number,) for number in range(40)])
    workspace.load("f1", ABCD, [(number, number % 12, number % 7, number + 20) for number in range(138)])
    workspace.load("f5", [A], [(3,)])
    workspace.load("f6", [A], [(99,)])
    return workspace


def test_internal_error() -> None:
    """DuckDB 2.0.0 fails, and then for whatever it is given: what comes next gets another one."""
    with loaded(optimizes=True) as broken, Workspace() as shared:
        with pytest.raises(dbapi.InternalError) as caught:
            broken.execute(BROKEN).fetchall()
        with pytest.raises(dbapi.GivenUp):
            shared.execute("SELECT 1")

    assert 1 == len(str(caught.value).splitlines())  # no stack trace
    with Workspace() as another, loaded(optimizes=False) as careful:
        assert [(1,)] == another.execute("SELECT 1").fetchall()
        assert 138 > len(careful.execute(BROKEN).fetchall()) > 0


def test_joins_without_the_optimizer() -> None:
    """Not every row with every other one, of which WHERE takes a few."""
    with loaded(optimizes=False) as careful:
        plan = careful.execute("EXPLAIN SELECT 1 FROM f0, f1, f2 WHERE f0.a = f1.b AND f1.a = f2.a").fetchone()

    assert plan is not None
    assert [2, 0] == [plan[1].count(each) for each in ("Hash Join", "Cross Product")]
