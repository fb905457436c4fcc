"""Executors: what one of them is forced to answer is what the other one answers, and the oracle."""

import pytest

from tests.federation.differences import DIFFERENCES
from tests.federation.differential import Differential
from tests.federation.judging import Judge, Unsupported, expected_warnings
from tests.federation.shapes import SHAPES
from tests.federation.worlds import WORLDS, Places, World, params

pytestmark = [*expected_warnings, pytest.mark.once]
LEAST = {"python": 40, "duckdb": 250}  # shapes that an executor must be able to answer

two_worlds = pytest.mark.parametrize(("world", "asyncio"), params(WORLDS[:2], False))
each_executor = pytest.mark.parametrize("executor", LEAST)


@two_worlds
@each_executor
def test_forced_executor(judge: Judge, world: World, asyncio: bool, executor: str) -> None:
    """Every shape that it does not refuse is right."""
    wrong, answered = {}, 0
    for shape in SHAPES.values():
        if not shape.has_oracle(world.oracle) or shape.without & world.backends or (world, shape.name) in DIFFERENCES:
            continue
        try:
            judge.check(world, shape, asyncio=asyncio, executor=executor)
        except Unsupported:
            continue
        except Exception as error:
            wrong[shape.name] = f"{type(error).__name__}: {error}"
        except AssertionError as difference:
            wrong[shape.name] = str(difference)
        answered += 1

    assert {} == wrong
    assert answered >= LEAST[executor]


@two_worlds
@each_executor
def test_forced_executor_on_random_selects(places: Places, world: World, asyncio: bool, executor: str) -> None:
    """Nothing differs; what it cannot do it refuses."""
    differential = Differential(places, world, asyncio=asyncio, executor=executor)
    found = [differential.ask(f"executor-{number}") for number in range(30)]

    assert [] == [str(each) for each in found if each is not None]
    assert differential.counts["same"] > 0
