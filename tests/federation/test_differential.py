"""Random selects over several databases, each compared with the one database that has everything."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.federation.choices import Choices, shrunk
from tests.federation.differential import Differential
from tests.federation.judging import expected_warnings
from tests.federation.models import Event
from tests.federation.worlds import ALONE, WORLDS, Places, World, params

pytestmark = expected_warnings
EACH = 50  # statements per world


@pytest.mark.parametrize(("world", "asyncio"), params([*WORLDS, ALONE[-1]], False))
def test_random_selects(places: Places, world: World, asyncio: bool) -> None:
    """Not one differs; few are refused, and many have rows."""
    differential = Differential(places, world, asyncio=asyncio)
    found = [differential.ask(f"test-{number}") for number in range(EACH)]
    counts = differential.counts

    assert [] == [str(each) for each in found if each is not None]
    assert counts["with rows"] > EACH / 4
    assert counts["refused"] + counts["beyond the oracle"] < EACH / 4


def test_tampered_rows(places: Places) -> None:
    """Where some events have another quantity, a difference is found, and can be made again from what is told of it."""

    def tamper(session: Session) -> Any:
        return session.execute(update(Event).where(Event.id % 4 == 0).values(quantity=Event.quantity + 7))

    differential = Differential(places, ALONE[-1], tamper=tamper)
    asked = (differential.ask(f"test-{number}") for number in range(EACH))
    found = next(each for each in asked if each is not None)

    assert "events" in found.statement
    assert "different" == differential.compare(differential.make(Choices(given=found.choices)))[0]


def test_same_choices_make_the_same() -> None:
    """What was taken from a seed gives the same again."""
    first = Choices("a seed")
    numbers = [first.below(10) for _ in range(20)]
    again = Choices(given=first.taken)

    assert numbers == [again.below(10) for _ in range(20)]
    assert 0 == again.below(10)


def test_shrinking() -> None:
    """Only what makes it wrong is left."""

    def wrong(given: list[int]) -> bool:
        return 7 in given and sum(given) > 9

    assert [7, 3] == shrunk([1, 4, 7, 2, 3, 0, 5], wrong) or wrong(shrunk([1, 4, 7, 2, 3, 0, 5], wrong))
    assert len(shrunk([1, 4, 7, 2, 3, 0, 5], wrong)) <= 2
