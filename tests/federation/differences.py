"""Differences: where a world may answer otherwise than the single database, and why. Each is pinned: a test fails when
it is not there any more."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
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


HOME = "a value is what the database of its table makes of the expression"
TYPES = "in one SQLite, rows of a union have each the type of their own column"
UUIDS = "MariaDB sorts UUIDs by their parts, and not as the text that they are"


def changed(*columns: int, to: Callable[[Any], Any], kind: str) -> Callable[[Any], Any]:
    """The rows, with other types in these columns."""

    def change_row(row: Any) -> Any:
        return tuple(
            Told(kind, to(each.value)) if number in columns and each.value is not None else each
            for number, each in enumerate(row)
        )

    def change(rows: Any) -> Any:
        made: Counter[Any] = Counter()
        for row, count in rows.items():
            made[change_row(row)] += count
        return made

    return change


def decimals(*columns: int) -> Callable[[Any], Any]:
    return changed(*columns, to=Decimal, kind="Decimal")


def integers(*columns: int) -> Callable[[Any], Any]:
    return changed(*columns, to=int, kind="int")


def at_home(worlds: tuple[str, ...], **changes: Callable[[Any], Any]) -> dict[tuple[str, str], Difference]:
    return {
        (world, shape): Difference(reason=HOME, change=change) for world in worlds for shape, change in changes.items()
    }


WITH_SQLITE = ("pg+sqlite", "pg+mariadb+sqlite")

DIFFERENCES: dict[tuple[str, str], Difference] = {
    **at_home(
        WITH_MARIADB,
        cte_of_one_database=decimals(1),
        cte_used_twice=decimals(1, 2),
        derived_table_of_the_other_database=decimals(1),
        derived_table_twice=decimals(1, 2),
        scalar_subquery_in_an_expression=decimals(1),
        json_paths=changed(1, to=bool, kind="bool"),
    ),
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
