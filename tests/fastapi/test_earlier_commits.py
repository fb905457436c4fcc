"""What a client is told when one session of a request fails after another has committed."""

from pathlib import Path
from sqlite3 import connect
from typing import Annotated

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import Column, Integer, MetaData, Table, insert

from manybase import AsyncSession, Database, Databases
from manybase.fastapi import lifespan, session_dependency

one = Table("one", MetaData(), Column("id", Integer, primary_key=True))
two = Table("two", MetaData(), Column("id", Integer, primary_key=True))


@pytest.fixture
def databases(tmp_path: Path) -> Databases:
    options = {"connect_args": {"timeout": 0.1}}
    databases = Databases(
        Database("first", f"sqlite:///{tmp_path}/first.db", models=one, engine_options=options),
        Database("second", f"sqlite:///{tmp_path}/second.db", models=two),
    )
    databases.create_all()
    databases.dispose()
    return databases


def application(databases: Databases) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))
    FirstDep = Annotated[AsyncSession, session_dependency(databases, database="first")]  # noqa: N806
    SecondDep = Annotated[AsyncSession, session_dependency(databases, database="second")]  # noqa: N806

    @app.post("/two-sessions")
    async def write(first: FirstDep, second: SecondDep) -> None:
        """The second one commits first: dependencies are left in reverse."""
        await second.execute(insert(two))
        await first.execute(insert(one))

    @app.post("/own-commit")
    async def commit(first: FirstDep, second: SecondDep) -> None:
        await second.execute(insert(two))
        await second.commit()
        await first.execute(insert(one))

    @app.post("/nothing-yet")
    async def fail(first: FirstDep, second: SecondDep) -> None:
        await first.execute(insert(one))
        raise HTTPException(500, "never reached: the first statement waits for a lock")

    return app


@pytest.mark.parametrize(
    ("path", "repeatable", "rows"), [("/own-commit", False, 1), ("/nothing-yet", True, 0), ("/two-sessions", True, 0)]
)
def test_locked_first_database(databases: Databases, tmp_path: Path, path: str, repeatable: bool, rows: int) -> None:
    """A client may try again only if no session of the request has committed."""
    locked = connect(tmp_path / "first.db", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    with TestClient(application(databases)) as client:
        answer = client.post(path)
    locked.close()
    second = connect(tmp_path / "second.db")
    written = second.execute("select count(*) from two").fetchone()[0]
    second.close()

    assert (503, repeatable, rows) == (answer.status_code, "retry-after" in answer.headers, written)
    assert repeatable is ("Nothing was changed" in answer.text)
