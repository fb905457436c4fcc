"""Selects over several databases answer as one database does, in values, types and order."""

from typing import Any

import pytest

from tests.federation.differences import DIFFERENCES
from tests.federation.judging import Judge, expected_warnings
from tests.federation.shapes import SHAPES, Shape
from tests.federation.worlds import ALONE, WORLDS, World, params

pytestmark = expected_warnings


def asked(worlds: list[World], *kinds: bool) -> list[Any]:
    return [
        pytest.param(*param.values, shape, id=f"{param.id}-{shape}", marks=param.marks)
        for param in params(worlds, *kinds)
        for shape in SHAPES.values()
        if shape.has_oracle(param.values[0].oracle) and not shape.without & param.values[0].backends
    ]


@pytest.mark.parametrize(("world", "asyncio", "shape"), asked(WORLDS))
def test_shape(judge: Judge, world: World, asyncio: bool, shape: Shape) -> None:
    """Every world gives the right answer, or differs as it must."""
    judge.check(world, shape, asyncio=asyncio)


@pytest.mark.once
@pytest.mark.parametrize(("world", "asyncio", "shape"), asked(ALONE, False))
def test_shape_in_one_database(judge: Judge, world: World, asyncio: bool, shape: Shape) -> None:
    """A session over one database answers as SQLAlchemy's own does: the judge agrees with itself."""
    judge.check(world, shape, asyncio=asyncio)


def test_number_of_shapes() -> None:
    """There are as many as were promised, and the table of differences speaks of them only."""
    assert 130 <= len(SHAPES)
    assert set() == {shape for _, shape in DIFFERENCES} - set(SHAPES)
    assert set() == {world for world, _ in DIFFERENCES} - {world.name for world in WORLDS}
