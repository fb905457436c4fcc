"""Judging: a world is asked what the oracle was asked, and must answer the same."""

from typing import Any

import pytest

from manybase import errors
from tests.federation.comparing import different, told
from tests.federation.differences import DIFFERENCES, Difference
from tests.federation.shapes import Shape
from tests.federation.shapes.shape import Body
from tests.federation.worlds import PG, Places, World, ask_oracle, with_executor

expected_warnings = [
    pytest.mark.filterwarnings("ignore:Dialect sqlite.* does .not. support Decimal"),
    pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product"),
    pytest.mark.filterwarnings("ignore:Passing expression to ``distinct``"),
    pytest.mark.filterwarnings("ignore:DISTINCT ON is currently supported only by PostgreSQL"),
]
# What cannot be answered is refused with one of these, before any SQL.
REFUSAL: tuple[type[Exception], ...] = (
    errors.RoutingError,
    *(vars(errors)[name] for name in ("FederationError",) if name in vars(errors)),
)
Unsupported: type[Exception] = vars(errors).get("UnsupportedStatement", errors.CrossDatabaseError)


class Judge:
    """Knows the right answers of each world, and asks for each only once."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._answers: dict[Any, Any] = {}

    def check(self, world: World, shape: Shape, *, asyncio: bool = False, executor: str | None = None) -> None:
        """Fail where the world answers otherwise than one database, or not as the table of differences says."""
        difference = DIFFERENCES.get((world.name, shape.name))
        if difference is not None and difference.raises is not None:
            with pytest.raises(difference.raises):
                self.ask(world, shape, asyncio=asyncio, executor=executor)
            return
        right = self.right(world, shape)
        answer = self.ask(world, shape, asyncio=asyncio, executor=executor)
        if difference is not None:
            assert different(right, answer) is not None, f"no difference any more: {difference.reason}"
            right = self.right_after_all(world, shape, difference)
        why = different(right, answer)
        assert why is None, why

    def ask(self, world: World, shape: Shape, *, asyncio: bool = False, executor: str | None = None) -> Any:
        """The answer of a world."""
        body = with_executor(executor, telling(shape.body, world, shape.digits, expected=False))
        return self.places.running(world, asyncio=asyncio).run(body, **shape.options)

    def right(self, world: World, shape: Shape) -> Any:
        """The answer of the one database that has everything."""
        if (world.name, shape.name) not in self._answers:
            self._answers[world.name, shape.name] = self.ask_oracle(world, shape, shape.body)
        return self._answers[world.name, shape.name]

    def right_after_all(self, world: World, shape: Shape, difference: Difference) -> Any:
        if difference.instead is not None:
            return self.ask_oracle(world, shape, difference.instead)
        assert difference.change is not None, "a difference says what is right instead"
        return difference.change(self.right(world, shape))

    def ask_oracle(self, world: World, shape: Shape, body: Body) -> Any:
        engine = self.places.oracle(world.oracle)
        return ask_oracle(engine, telling(body, world, shape.digits, expected=True), **shape.options)


def telling(body: Body, world: World, digits: int | None, *, expected: bool) -> Body:
    """``body`` with its answer told while the session is open; what is expected, as the homes of the tables give it."""
    home = world.home if expected and world.oracle == PG else None
    return lambda session: told(body(session), home=home, digits=digits)
