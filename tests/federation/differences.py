"""Differences: where a world may answer otherwise than the single database, and why. Each is pinned: a test fails when
it is not there any more."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_

from tests.federation.comparing import Told
from tests.federation.models import Event, User
from tests.federation.shapes.expressions import pairs
from tests.federation.shapes.shape import Body, in_any_order


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``instead`` is asked of the oracle in place of the shape; or ``change`` makes the right answer of the oracle's;
    or the world ``raises``, for what cannot be right."""

    reason: str
    instead: Body | None = None
    change: Callable[[Any], Any] | None = None
    raises: type[Exception] | None = None


def loosely(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    """Equality as MariaDB's usual collation knows it, said to PostgreSQL."""
    return func.lower(func.rtrim(column, " ")) == value


COLLATION = "a string compares as in its home: MariaDB ignores case and trailing blanks unless its collation says so"
WITH_MARIADB = ("pg+mariadb", "pg+mariadb+sqlite")

ZONES = "only PostgreSQL knows of time zones: DateTime(timezone=True) of another home comes back without one"


def naive_second(rows: Counter[Any]) -> Counter[Any]:
    """What was told of pairs of moments, with the second one as a home without time zones gives it."""
    return Counter((first, naive(second)) for first, second in rows.elements())


def naive(moment: Told) -> Told:
    aware = moment.kind == "aware datetime"
    return Told("datetime", moment.value.replace(tzinfo=None)) if aware else moment


DIFFERENCES: dict[tuple[str, str], Difference] = {
    **{
        (world, "moments_with_time_zones"): Difference(reason=ZONES, change=naive_second)
        for world in (*WITH_MARIADB, "pg+sqlite")
    },
    **{
        (world, "loose_strings_pushed"): Difference(
            reason=COLLATION, instead=in_any_order(pairs(Event.id, Event.label).where(loosely(Event.label, "buy")))
        )
        for world in WITH_MARIADB
    },
    **{
        (world, "loose_strings_in_the_executor"): Difference(
            reason=COLLATION,
            instead=in_any_order(pairs(Event.id, Event.label).where(or_(loosely(Event.label, "buy"), User.id < 3))),
        )
        for world in WITH_MARIADB
    },
}
