"""SQLModel's session over many databases."""

import asyncio
from typing import Any

import pytest
import sqlmodel
from sqlalchemy import MetaData, text, union
from sqlalchemy.orm import selectinload
from sqlmodel import Field, Relationship, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession

import manybase
from manybase import Database, Databases
from tests.shop import FAST


class HomeModel(SQLModel):
    metadata = MetaData()


class AwayModel(SQLModel):
    metadata = MetaData()


class Team(HomeModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    matches: list["Match"] = Relationship(
        sa_relationship_kwargs={"primaryjoin": "foreign(Match.team_id) == Team.id", "viewonly": True}
    )


class Match(AwayModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    team_id: int


class OursFirst(manybase.Session, sqlmodel.Session):
    pass


class TheirsFirst(sqlmodel.Session, manybase.Session):
    pass


class OursFirstAsync(manybase.AsyncSession, SQLModelAsyncSession):
    sync_session_class = OursFirst


class TheirsFirstAsync(SQLModelAsyncSession, manybase.AsyncSession):
    sync_session_class = TheirsFirst


@pytest.fixture
def leagues(tmp_path: Any) -> Databases:
    home, away = (f"sqlite:///{tmp_path}/{name}.db" for name in ("home", "away"))
    return Databases(
        Database("home", home, models=HomeModel), Database("away", away, models=AwayModel), engine_options=FAST
    )


@pytest.mark.parametrize("kind", [OursFirst, TheirsFirst])
def test_exec(leagues: Databases, kind: Any) -> None:
    """exec() gives objects of both databases, loads across them, and joins them."""
    leagues.create_all()
    with kind(leagues) as session:
        session.add_all([Team(id=1, name="reds"), Match(team_id=1), Match(team_id=1)])
        session.commit()
        team = session.exec(sqlmodel.select(Team).options(selectinload(Team.matches))).one()
        joined = session.exec(sqlmodel.select(Team, Match.id).where(Match.team_id == Team.id)).all()

        assert [(team, 1), (team, 2)] == sorted(joined, key=lambda row: row[1])
        assert ["reds", 2] == [team.name, len(team.matches)]
        assert [1, 2] == session.exec(sqlmodel.select(Match.id).order_by(Match.id)).all()
    leagues.dispose()


ONE: Any = text("SELECT id FROM match")
IDS: Any = union(sqlmodel.select(Match.id), sqlmodel.select(Match.team_id))


@pytest.mark.parametrize("kind", [OursFirst, TheirsFirst])
def test_exec_of_text(leagues: Databases, kind: Any) -> None:
    """bind_arguments and the statement's own options name the database."""
    leagues.create_all()
    with kind(leagues) as session:
        session.add(Match(id=5, team_id=1))
        session.flush()

        assert [(5,)] == session.exec(ONE, bind_arguments={"database": "away"}).all()
        assert [(5,)] == session.exec(ONE.execution_options(database="away")).all()
    leagues.dispose()


def test_exec_with_options_of_the_call(leagues: Databases) -> None:
    """With SQLModel's class first, exec() is execute() in every respect: per-call options, unions of columns."""
    leagues.create_all()
    with TheirsFirst(leagues) as session:
        session.add(Match(id=5, team_id=1))
        session.flush()

        assert [(5,)] == session.exec(ONE, execution_options={"database": "away"}).all()
        assert [(1,), (5,)] == sorted(session.exec(IDS).all())
    leagues.dispose()


@pytest.mark.parametrize("kind", [OursFirstAsync, TheirsFirstAsync])
def test_exec_under_asyncio(leagues: Databases, kind: Any) -> None:
    """The same with SQLModel's async session."""

    async def main() -> list[Any]:
        await leagues.acreate_all()
        async with kind(leagues) as session:
            session.add_all([Team(id=1, name="reds"), Match(team_id=1)])
            await session.commit()
            team = (await session.exec(sqlmodel.select(Team).options(selectinload(Team.matches)))).one()
            one: Any = text("SELECT id FROM match")
            found = (await session.exec(one, bind_arguments={"database": "away"})).all()
            result = [team.name, len(team.matches), found]
        await leagues.adispose()
        return result

    assert ["reds", 1, [(1,)]] == asyncio.run(main())
