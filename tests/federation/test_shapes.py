"""Selects over several databases answer as one database does, in values, types and order."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.federation.differences import DIFFERENCES
from tests.federation.judging import Judge, expected_warnings
from tests.federation.models import Base
from tests.federation.shapes import SHAPES, Shape
from tests.federation.worlds import ALONE, WORLDS, Places, World, ask_oracle, params

pytestmark = expected_warnings


def asked(worlds: list[World], *kinds: bool) -> list[Any]:
    """Worlds with the shapes that they answer."""
    return [
        pytest.param(*param.values, shape, id=f"{param.id}-{shape}", marks=param.marks)
        for param in params(worlds, *kinds)
        for shape in SHAPES.values()
        if takes_part(*param.values, shape)
    ]


ASKED_ALL = {"pg+pg", "sqlite+sqlite", "pg+mariadb+sqlite"}


def takes_part(world: World, asyncio: bool, shape: Shape) -> bool:
    """Every shape takes part in three worlds; in the others, with async sessions and where there is nothing to join, a
    third of the shapes does, another one in each, for the sake of time."""
    if not shape.has_oracle(world.oracle) or shape.without & world.backends:
        return False
    turn = [*WORLDS, *ALONE].index(world) + asyncio
    return (list(SHAPES).index(shape.name) + turn) % 3 == 0 or (world.name in ASKED_ALL and not asyncio)


@pytest.mark.parametrize(("world", "asyncio", "shape"), asked(WORLDS))
def test_shape(judge: Judge, world: World, asyncio: bool, shape: Shape) -> None:
    """Every world gives the right answer, or differs as it must."""
    judge.check(world, shape, asyncio=asyncio)


@pytest.mark.once
@pytest.mark.parametrize(("world", "asyncio", "shape"), asked(ALONE, False))
def test_shape_in_one_database(judge: Judge, world: World, asyncio: bool, shape: Shape) -> None:
    """A session over one database answers as SQLAlchemy's own does: the judge agrees with itself."""
    judge.check(world, shape, asyncio=asyncio)


@pytest.mark.parametrize(("world", "asyncio"), params(WORLDS, always=True))
def test_world(places: Places, world: World, asyncio: bool) -> None:
    """Each of its databases has its own tables with all their rows, and no other ones."""

    def count(session: Session) -> dict[str, int]:
        counted = [select(func.count()).select_from(table) for table in Base.metadata.sorted_tables]
        return {str(statement): session.scalar(statement) for statement in counted}

    running = places.running(world, asyncio=asyncio)
    assert ask_oracle(places.oracle(world.oracle), count) == running.run(count)
    for name in world.parts:
        held = {table.name for table in running.databases.tables(name)}
        assert {getattr(world, name)} == {world.home(Base.metadata.tables[table]) for table in held}


def test_number_of_shapes() -> None:
    """There are as many as were promised, and the table of differences speaks of them only."""
    assert 130 <= len(SHAPES)
    assert set() == {shape for _, shape in DIFFERENCES} - set(SHAPES)
    assert set() == {world for world, _ in DIFFERENCES} - {world.name for world in WORLDS}
