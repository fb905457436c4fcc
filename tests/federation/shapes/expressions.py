"""Expressions: arithmetic, strings, dates, JSON, CASE and what mixes columns of several databases."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    Integer,
    Numeric,
    String,
    and_,
    between,
    case,
    cast,
    collate,
    extract,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    tuple_,
    type_coerce,
)

from tests.federation.models import Color, Event, Kind, Payment, Product, User
from tests.federation.shapes.shape import ordered, unordered


def pairs(*columns: Any) -> Any:
    return select(*columns).select_from(User).join(Event, Event.user_id == User.id)


@unordered
def arithmetic_of_integers_across() -> Any:
    return pairs(Event.id, User.id + Event.quantity, User.id - Event.quantity * 2, -Event.quantity, User.id % 7)


@unordered
def arithmetic_of_decimals() -> Any:
    return pairs(Event.id, Event.amount + Event.amount, Event.amount - 1, User.balance * 2)


@unordered(nonsense="sqlite")
def arithmetic_of_decimals_across() -> Any:
    """SQLAlchemy rounds what SQLite multiplies to the places of the left factor."""
    return pairs(Event.id, User.balance * Event.amount, User.balance + Event.amount)


@unordered
def arithmetic_of_floats_across() -> Any:
    return pairs(Event.id, User.score * Event.weight, User.score + Event.quantity)


@unordered(digits=4)
def true_division() -> Any:
    return pairs(Event.id, User.id / 8, Event.quantity / 4)


@unordered(digits=4)
def true_division_across() -> Any:
    return pairs(Event.id, Event.quantity / User.id).where(User.id.in_([1, 2, 4, 5, 8]))


@unordered
def integer_division() -> Any:
    """Of positive numbers: what happens below zero is the backend's."""
    return pairs(Event.id, User.id // 7, (User.id + Event.id) // 3)


@unordered
def modulo_of_negative_numbers() -> Any:
    return pairs(Event.id, Event.quantity % 3).where(Event.quantity < 0)


@unordered
def rounding() -> Any:
    return pairs(Event.id, func.abs(Event.quantity), func.round(Event.amount, 2))


@unordered
def case_across() -> Any:
    return pairs(Event.id, case((User.balance > 50, "rich"), (Event.quantity > 5, Event.kind), else_=User.name))


@unordered
def case_without_else() -> Any:
    return pairs(Event.id, case((Event.quantity > 5, User.id)))


@unordered
def case_by_value() -> Any:
    return pairs(Event.id, case({"buy": 1, "see": 2}, value=Event.kind, else_=User.id))


@unordered
def coalesce_and_nullif_across() -> Any:
    return pairs(Event.id, func.coalesce(Event.note, User.country, "none"), func.nullif(Event.quantity, User.id))


@unordered
def strings_joined() -> Any:
    return pairs(User.name + "-" + Event.kind, Event.note + User.name)


@unordered
def string_functions() -> Any:
    return pairs(Event.id, func.lower(Event.kind_b), func.upper(Event.kind_b), func.length(User.country))


@unordered
def parts_of_strings() -> Any:
    return pairs(Event.id, func.substr(User.name, 1, 2), func.replace(Event.kind, "e", "3"), func.trim(Event.note))


@unordered
def length_in_characters() -> Any:
    return pairs(Event.id, func.char_length(User.name), func.char_length(Event.kind))


@unordered
def like() -> Any:
    return pairs(Event.id).where(or_(User.name.like("%1"), Event.note.like("hello_w")))


@unordered
def like_with_escapes() -> Any:
    return pairs(Event.id).where(
        or_(User.name.contains("%", autoescape=True), Event.note.contains("%", autoescape=True))
    )


@unordered
def starts_and_ends() -> Any:
    return pairs(Event.id).where(User.name.endswith("2"), Event.kind.startswith("s"))


@unordered
def not_like() -> Any:
    return pairs(Event.id, Event.note).where(or_(Event.note.not_like("%l%"), User.id < 5))


@unordered
def ilike() -> Any:
    return pairs(User.name, Event.note).where(or_(User.name.ilike("AN%"), Event.note.ilike("HELLO%")))


@unordered
def equality_of_case_variants() -> Any:
    """With a collation that knows them apart; see ``loose_strings`` for the others."""
    return pairs(Event.id, Event.kind).where(or_(Event.kind == "buy", User.id < 3))


@unordered
def loose_strings_pushed() -> Any:
    """Compared as their home does: on MariaDB without regard to case and trailing blanks."""
    return pairs(Event.id, Event.label).where(Event.label == "buy")


@unordered
def loose_strings_in_the_executor() -> Any:
    """The same as if it had been pushed."""
    return pairs(Event.id, Event.label).where(or_(Event.label == "buy", User.id < 3))


@unordered
def loose_strings_joined() -> Any:
    return select(User.id, Event.id).join(Event, Event.label == User.nick)


@unordered
def loose_strings_grouped() -> Any:
    return pairs(func.lower(func.trim(Event.label)).label("word"), func.count()).group_by("word")


@unordered
def strings_cast() -> Any:
    return pairs(cast(User.id, String(10)), cast(Event.quantity, String(10)) + "!")


@unordered(nonsense="sqlite")
def decimals_cast_to_integers() -> Any:
    return pairs(Event.id, cast(Event.amount, Integer))


@unordered
def casts() -> Any:
    return pairs(Event.id, cast(Event.kind_a, Numeric(10, 2)), cast(func.substr(User.name, 4, 0) + "12", Integer))


@unordered
def comparisons_as_values() -> Any:
    return pairs(Event.id, (Event.quantity > 5).label("many"), (User.country == Event.kind_b).label("same"))


@unordered
def null_logic() -> Any:
    return pairs(Event.id).where(not_(and_(Event.amount > 5, User.balance > 20)))


@unordered
def null_comparisons() -> Any:
    return pairs(Event.id, Event.note.is_(None), (Event.note != User.country).label("differ")).where(
        or_(Event.note != "Hello", User.active.is_not(True))
    )


@unordered
def is_distinct_from() -> Any:
    return pairs(User.id, Event.id).where(Event.kind_b.is_distinct_from(User.country))


@unordered
def boolean_columns() -> Any:
    return pairs(User.id, User.active, Event.id).where(or_(User.active, Event.quantity > 10))


@unordered
def boolean_columns_negated() -> Any:
    return pairs(User.id, Event.id).where(or_(~User.active, Event.quantity > 10))


@unordered
def between_across() -> Any:
    return pairs(Event.id).where(between(Event.quantity, User.id - 10, User.id))


@unordered
def dates_compared() -> Any:
    return pairs(Event.id, User.born, Event.day).where(
        Event.day.between(date(2024, 6, 5), date(2024, 6, 19)), Event.day > User.born
    )


@unordered
def moments_compared_across() -> Any:
    return pairs(Event.id, User.joined, Event.at).where(Event.at > User.joined)


@unordered
def moments_compared_with_literals() -> Any:
    half = datetime(2024, 6, 2, 12, 30)
    return pairs(Event.id, Event.at).where(or_(Event.at < half, User.joined < half - timedelta(days=100)))


@unordered
def moments_with_time_zones() -> Any:
    """Each is as its home gives it: only PostgreSQL knows of time zones."""
    return pairs(User.seen, Event.seen)


@unordered
def extract_of_dates() -> Any:
    return pairs(Event.id, extract("year", User.born), extract("month", Event.day), extract("day", Event.day))


@unordered(nonsense="sqlite mariadb")
def moments_subtracted() -> Any:
    return pairs(Event.id, (Event.at - User.joined).label("age"))


@unordered(nonsense="mariadb sqlite")
def interval_added() -> Any:
    return pairs(Event.id, Event.at + timedelta(days=1, hours=2)).where(Event.at + timedelta(days=30) > User.joined)


@unordered(lacking="mariadb sqlite")
def truncated_moments() -> Any:
    day = func.date_trunc("day", Event.at)
    return pairs(User.country, day.label("d"), func.count()).group_by(User.country, day)


@unordered
def date_of_a_moment() -> Any:
    return pairs(Event.id, func.date(Event.at, type_=Date))


@unordered
def json_values() -> Any:
    return pairs(Event.id, User.meta["k"].as_integer(), Event.payload["t"].as_string())


@unordered
def json_conditions() -> Any:
    return pairs(Event.id).where(or_(Event.payload["t"].as_string() == "a", User.meta["k"].as_integer() == 4))


@unordered
def json_condition_of_one_side() -> Any:
    return pairs(User.id, Event.id).where(Event.payload["t"].as_string() == "b", User.meta["k"].as_integer() < 30)


@unordered
def json_paths() -> Any:
    return pairs(Event.id, Event.payload[("deep", "flag")].as_boolean(), User.meta[("list", 0)].as_integer())


@unordered
def json_documents() -> Any:
    return pairs(Event.id, User.meta, Event.payload)


@unordered
def enum_conditions() -> Any:
    return pairs(Event.id, User.color, Event.color).where(or_(User.color == Color.red, Event.color == Color.blue))


@unordered
def enums_compared_across() -> Any:
    return pairs(Event.id).where(User.color == Event.color)


@unordered
def uuid_conditions() -> Any:
    wanted = [UUID(int=3), UUID(int=41)]
    return pairs(User.id, User.token, Event.token).where(or_(User.token.in_(wanted), Event.token == wanted[0]))


@unordered
def decorated_conditions() -> Any:
    return pairs(User.id, Event.code).where(or_(User.code == "A", Event.code == "B"))


@unordered
def decorated_compared_across() -> Any:
    return pairs(User.id, Event.id, User.code, Event.code).where(User.code == Event.code)


@unordered
def bytes_and_intervals() -> Any:
    return pairs(Event.blob, Event.took, User.uid, Event.ref)


@unordered
def decimals_in_conditions() -> Any:
    return pairs(Event.id).where(or_(Event.amount > Decimal("4.9999"), User.balance == Decimal("12.34")))


@unordered
def decimals_of_many_digits() -> Any:
    return select(Kind.worth, Event.id).join(Event, and_(Event.kind_a == Kind.a, Event.kind_b == Kind.b))


@unordered
def decimals_beside_strings() -> Any:
    return select(Payment.id, Payment.total, User.name).join(User, User.id == Payment.user_id)


@unordered
def prices_times_quantities() -> Any:
    return select(Event.id, (Product.price * Event.quantity).label("cost")).join(Event.product)


@unordered(nonsense="mariadb")
def literals_of_every_type() -> Any:
    """MariaDB gives back a date as the text that was sent."""
    return pairs(
        Event.id,
        literal(5),
        literal("ü'%"),
        literal(Decimal("1.50"), Numeric(10, 2)),
        literal(True),
        literal(date(2024, 2, 29)),
        null(),
    ).where(Event.id < 20)


@unordered
def coerced_types() -> Any:
    return pairs(Event.id, type_coerce(User.id % 2, Boolean))


@unordered
def tuple_in_a_list() -> Any:
    return pairs(Event.id).where(
        tuple_(Event.kind_a, Event.kind_b).in_([(1, "x"), (2, "y")]), or_(User.id > 10, Event.id < 50)
    )


@unordered(lacking="mariadb sqlite")
def collated() -> Any:
    return pairs(Event.id).where(or_(collate(User.name, "C") > "Zoe", Event.id < 5))


@unordered(lacking="sqlite")
def greatest_and_least() -> Any:
    return pairs(Event.id, func.greatest(User.id, Event.quantity), func.least(User.id, Event.quantity))


@unordered
def deep_expression() -> Any:
    n = User.id
    for step in range(30):
        n = n + case((Event.quantity > step % 5, step), else_=User.id)
    return pairs(Event.id, n.label("n"))


@ordered
def function_of_each_side_in_order() -> Any:
    return pairs(User.id, Event.id).order_by(func.length(User.name) * 100 + func.abs(Event.quantity), Event.id, User.id)
