"""What several queries compute alike."""

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Integer, Numeric, cast, extract, type_coerce

from tests.tpch.models import LineItem


def revenue() -> ColumnElement[Decimal]:
    """What was paid for a line item."""
    return LineItem.l_extendedprice * (1 - LineItem.l_discount)


def divisor(amount: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    """An amount with all its digits: on PostgreSQL, SQLAlchemy rounds what it divides by to the type's own."""
    return type_coerce(amount, Numeric())


def year(column: Any) -> ColumnElement[int]:
    return cast(extract("year", column), Integer)
