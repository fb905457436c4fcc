"""The judge of selects over several databases: it finds what is wrong, and its questions can tell."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from tests.federation.comparing import Bag, different, told
from tests.federation.judging import Judge, expected_warnings
from tests.federation.models import Event, Payment
from tests.federation.shapes import SHAPES, Shape
from tests.federation.worlds import ALONE, MARIADB, PG, SQLITE, World, ask_oracle, marks

pytestmark = expected_warnings

ROWS: list[Any] = [(1, "a", Decimal("1.50")), (2, None, Decimal("2")), (2, None, Decimal("2"))]
every_backend = pytest.mark.parametrize(
    "backend", [pytest.param(world.oracle, id=world.name, marks=marks(world, False)) for world in ALONE]
)
WRONG: dict[str, list[Any]] = {
    "missing": ROWS[:2],
    "more": [*ROWS, ROWS[0]],
    "value": [(1, "b", Decimal("1.50")), *ROWS[1:]],
    "case": [(1, "A", Decimal("1.50")), *ROWS[1:]],
    "type of a number": [(1, "a", 1.5), *ROWS[1:]],
    "type of a flag": [(True, "a", Decimal("1.50")), *ROWS[1:]],
    "null": [(1, "a", None), *ROWS[1:]],
    "digit": [(1, "a", Decimal("1.5000000000000000001")), *ROWS[1:]],
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", [Bag, list])
def test_wrong_rows(kind: Any, wrong: str) -> None:
    """They are different, whichever way they are wrong."""
    assert different(told(kind(ROWS)), told(kind(WRONG[wrong]))) is not None


def test_right_rows() -> None:
    """Equal rows are equal, in any order where none is promised; decimals may have trailing zeros."""
    again = [(1, "a", Decimal("1.5")), (2, None, Decimal("2.0")), (2, None, Decimal(2))]

    assert None is different(told(ROWS), told(again))
    assert None is different(told(Bag(ROWS)), told(Bag(reversed(again))))
    assert different(told(ROWS), told(again[::-1])) is not None


def test_planted_rows(judge: Judge) -> None:
    """An event that suddenly has another user is found by many shapes."""
    engine, world = judge.places.oracle(SQLITE), World("planted", SQLITE, SQLITE)
    found = 0
    for shape in (shape for shape in SHAPES.values() if shape.has_oracle(SQLITE) and not shape.options):

        def body(session: Session, shape: Shape = shape) -> Any:
            session.execute(update(Event).where(Event.id == unpaid(session)).values(user_id=7))
            return told(shape.body(session), digits=shape.digits)

        found += different(judge.right(world, shape), ask_oracle(engine, body)) is not None

    assert found > len(SHAPES) / 3


def unpaid(session: Session) -> int | None:
    """An event that no payment points at, of a user that few shapes leave out."""
    paid = {event for (event,) in session.query(Payment.event_id)}
    events = session.query(Event.id).filter(Event.kind == "buy", Event.quantity > 8, Event.user_id < 30)
    return next(event for (event,) in events.order_by(Event.id) if event not in paid)


@pytest.mark.once
@pytest.mark.server
@pytest.mark.postgresql
def test_shapes_on_other_data(judge: Judge) -> None:
    """Other data give another answer, unless the shape says that they do not; there are rows, unless there are none."""
    world, others = World("other data", PG, PG), judge.places.oracle(PG, 8)
    wrong = {}
    for shape in (shape for shape in SHAPES.values() if shape.has_oracle(PG)):
        right, other = judge.right(world, shape), answer(others, shape)
        if (right == other and not shape.same) or (not right) is not shape.empty:
            wrong[shape.name] = (right == other, not right)

    assert {} == wrong


@every_backend
def test_what_a_backend_lacks(judge: Judge, backend: str) -> None:
    """Each shape that a backend is said to lack is refused by it, so the list does not hide anything."""
    answered = []
    for shape in (shape for shape in SHAPES.values() if backend in shape.lacking):
        try:
            answer(judge.places.oracle(backend), shape)
        except Exception:
            continue
        answered.append(shape.name)

    assert [] == answered


def answer(engine: Engine, shape: Shape) -> Any:
    return ask_oracle(engine, lambda session: told(shape.body(session), digits=shape.digits), **shape.options)


def test_every_backend_is_an_oracle() -> None:
    """No shape is left out everywhere."""
    assert [] == [shape.name for shape in SHAPES.values() if not any(map(shape.has_oracle, (PG, MARIADB, SQLITE)))]
