"""`import manybase` makes names known and does nothing else."""

import json
import subprocess
import sys
from typing import Any

import pytest

HEAVY = [
    "fastapi",
    "starlette",
    "pydantic",
    "anyio",
    "uvicorn",
    "alembic",
    "typer",
    "rich",
    "duckdb",
    "sqlmodel",
    "opentelemetry",
    "prometheus_client",
    "pytest",
    "psycopg",
    "psycopg2",
    "asyncpg",
    "pymysql",
    "asyncmy",
    "aiomysql",
    "mysql",
    "aiosqlite",
    "sqlite3",
]

PROGRAM = f"""
import sys, threading, gc, json, logging
{{}}
from sqlalchemy import Engine, Pool
print(json.dumps({{{{
    "heavy": [name for name in {HEAVY} if name in sys.modules],
    "threads": threading.active_count(),
    "engines": sum(isinstance(each, (Engine, Pool)) for each in gc.get_objects()),
    "handlers": len(logging.getLogger().handlers) + len(logging.getLogger("manybase").handlers),
}}}}))
"""
DECLARE = """
from manybase import *
databases = Databases(
    Database("shop", "postgresql://me@127.0.0.1:1/shop", default=True),
    Database("visits", "mysql://me@127.0.0.1:1/visits"),
    Database("audit"),
)
Session(databases), AsyncSession(databases)
"""


def seen_after(source: str) -> Any:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(source)], check=True, capture_output=True, text=True
    )
    assert "" == run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("source", ["import manybase", DECLARE], ids=["import", "declaration and sessions"])
def test_nothing_happens(source: str) -> None:
    """No framework, no driver, no thread, no engine, no logging: neither at import nor by declaring."""
    nothing = {"heavy": [], "threads": 1, "engines": 0, "handlers": 0}

    assert nothing == seen_after(source)


def test_submodules_of_the_core() -> None:
    """The same for every module but those that are for a framework."""
    source = """
import importlib, pkgutil, manybase
for module in pkgutil.iter_modules(manybase.__path__):
    if module.name not in ("fastapi", "lifecycle", "migrations", "testing"):
        importlib.import_module(f"manybase.{module.name}")
"""
    assert [] == seen_after(source)["heavy"]


def test_federation() -> None:
    """A session over several databases plans no select before there is one, and DuckDB is not needed for a plan."""
    source = """
import importlib, pkgutil, sys, manybase
def names(prefix):
    return {name for name in sys.modules if name.startswith(prefix)}
from manybase import AsyncSession, Database, Databases, Federation, Model, Session
class Shop(Model, database="shop"): ...
databases = Databases(Database("shop"), Database("visits"), federation=Federation(max_rows=10))
Session(databases), AsyncSession(databases)
light = {"manybase.federation", "manybase.federation.binding", "manybase.federation.limits"}
light |= {"manybase.federation.explanation", "manybase.federation.semantics"}
assert names("manybase.federation") == light, names("manybase.federation")
for module in pkgutil.walk_packages(manybase.federation.__path__, "manybase.federation."):
    importlib.import_module(module.name)
"""
    seen = seen_after(source)

    assert [] == seen["heavy"]
    assert [1, 0] == [seen["threads"], seen["engines"]]


def test_the_guard_itself() -> None:
    """It sees what it looks for."""
    source = """
import sqlite3, sqlalchemy, threading, time, logging
engine = sqlalchemy.create_engine("sqlite://")
threading.Thread(target=time.sleep, args=[30], daemon=True).start()
logging.basicConfig()
"""
    seen = seen_after(source)

    assert ["sqlite3"] == seen["heavy"]
    assert seen["engines"] > 0
    assert [2, 1] == [seen["threads"], seen["handlers"]]
