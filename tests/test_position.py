"""Position: what is reached, merged, written and read again."""

import pickle
import time

import pytest

from manybase import InvalidPosition, Position
from manybase.position import Gtids, GtidSet, OnPrimary, Point, Wal

UUID, OTHER = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "3e11fa47-71ca-11e1-9e33-c80aa9429563"


def named(value: object) -> str:
    """The name of a parameter; the same in each process that runs tests, whatever the time is."""
    return "primary" if isinstance(value, OnPrimary) else str(value)


POINTS: list[Point] = [
    Wal(7710797454654726727, 2, 0x1_9206F0),
    Wal.of("7710797454654726727", "000000020000000000000001", "1A/19206F0"),
    Gtids.parse("0-1-5,3-2-7"),
    GtidSet.parse(f"{UUID.upper()}:1-5:7,\n{OTHER}:1-3"),
    GtidSet.parse(f"{UUID}:tag:1-5"),
    OnPrimary(),
]


@pytest.mark.parametrize("point", POINTS, ids=named)
def test_text(point: Point) -> None:
    """It is short, fits into a cookie as it is, and comes back the same."""
    position = Position({"shop": point, "a-b_1": Wal(1, 1, 1)})

    assert position == Position.parse(str(position)) == pickle.loads(pickle.dumps(position))
    assert position == eval(repr(position))
    assert {*str(position)} <= {*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789~:.+-_"}
    assert hash(position) == hash(Position.parse(str(position)))


NONE = ["x", "shop", "shop:", "shop:wal", "shop:wal.1.1", "shop:wal.1.1.x", "shop:other.1", ":wal.1.1.1", "~x"]


@pytest.mark.parametrize("text", [*NONE, 5, "a" * 10_000])
def test_text_that_is_none(text: str) -> None:
    """It is refused, and not repeated."""
    with pytest.raises(InvalidPosition, match="no position") as caught:
        Position.parse(text)
    assert "shop" not in str(caught.value)


def test_nothing() -> None:
    """No position is false, and a text too."""
    assert not Position()
    assert "" == str(Position())
    assert Position() == Position.parse("")


REACHED: list[tuple[Point, Point | None, bool]] = [
    (Wal(1, 1, 5), Wal(1, 1, 5), True),
    (Wal(1, 1, 5), Wal(1, 1, 4), False),
    (Wal(1, 1, 5), Wal(1, 2, 9), False),
    (Wal(1, 2, 5), Wal(1, 1, 9), False),
    (Wal(1, 1, 5), Wal(2, 1, 9), False),
    (Wal(1, 1, 5), Wal(1, 0, 9), False),
    (Wal(1, 1, 5), Gtids.parse("0-1-9"), False),
    (Wal(1, 1, 5), None, False),
    (Gtids.parse("0-1-5"), Gtids.parse("0-1-5,1-1-1"), True),
    (Gtids.parse("0-1-5"), Gtids.parse("0-1-4"), False),
    (Gtids.parse("0-1-5"), Gtids.parse("0-2-9"), False),
    (Gtids.parse("0-1-5,1-1-1"), Gtids.parse("0-1-5"), False),
    (Gtids.parse("0-1-5"), None, False),
    (GtidSet.parse(f"{UUID}:1-5"), GtidSet.parse(f"{UUID}:1-3:4-9"), True),
    (GtidSet.parse(f"{UUID}:1-5"), GtidSet.parse(f"{UUID}:1-4:6-9"), False),
    (GtidSet.parse(f"{UUID}:1-5"), GtidSet.parse(f"{OTHER}:1-9"), False),
    (GtidSet.parse(f"{UUID}:1-5"), Gtids.parse("0-1-9"), False),
    (OnPrimary(), Wal(1, 1, 9), False),
    (OnPrimary(int(time.time()) - 1), None, True),
]


@pytest.mark.parametrize(("point", "replayed", "expected"), REACHED, ids=named)
def test_reached(point: Point, replayed: Point | None, expected: bool) -> None:
    """Only the same log, as far at least; in doubt not."""
    assert expected is point.is_in(replayed)


MERGED: list[tuple[Point, Point, Point]] = [
    (Wal(1, 1, 5), Wal(1, 1, 4), Wal(1, 1, 5)),
    (Wal(1, 2, 4), Wal(1, 1, 5), Wal(1, 2, 4)),
    (Wal(1, 1, 5), Wal(2, 1, 4), Wal(2, 1, 4)),
    (Wal(1, 1, 5), Gtids.parse("0-1-1"), Gtids.parse("0-1-1")),
    (Gtids.parse("0-1-5,1-1-1"), Gtids.parse("0-1-4,2-1-1"), Gtids.parse("0-1-5,1-1-1,2-1-1")),
    (Gtids.parse("0-1-5"), Gtids.parse("0-2-4"), Gtids.parse("0-2-4")),
    (Gtids.parse("0-1-5"), Wal(1, 1, 1), Wal(1, 1, 1)),
    (GtidSet.parse(f"{UUID}:1-5"), GtidSet.parse(f"{UUID}:6-7,{OTHER}:1"), GtidSet.parse(f"{UUID}:1-7,{OTHER}:1")),
    (GtidSet.parse(f"{UUID}:1-5"), Wal(1, 1, 1), Wal(1, 1, 1)),
    (OnPrimary(2_000_000_000_000), Wal(1, 1, 1), OnPrimary(2_000_000_000_000)),
    (OnPrimary(1), Wal(1, 1, 1), Wal(1, 1, 1)),
    (OnPrimary(1), OnPrimary(2), OnPrimary(2)),
]


@pytest.mark.parametrize(("first", "later", "expected"), MERGED, ids=named)
def test_merge(first: Point, later: Point, expected: Point) -> None:
    """Both are reached where it is; what cannot be compared, the later one decides."""
    assert Position({"a": expected}) == Position({"a": first}).merge(Position({"a": later}))
    assert Position({"a": first, "b": later}) == Position({"a": first}).merge(None, Position({"b": later}))


def test_time_on_the_primary() -> None:
    """A text cannot keep a client there for longer than a commit can."""
    assert "primary.fffffffffff" not in str(Position.parse("shop:primary.fffffffffff"))
