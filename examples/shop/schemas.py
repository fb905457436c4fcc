"""What clients send and get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# No control characters: PostgreSQL stores no NUL, and nobody wants the others.
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Email = Annotated[
    str, StringConstraints(to_lower=True, max_length=120, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")
]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]  # what an INTEGER column holds


class NewUser(BaseModel):
    name: Text
    email: Email


class NewOrder(BaseModel):
    user_id: Id
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=100)]


class NewParcel(BaseModel):
    city: Text


class Row(BaseModel):
    """Reads the attributes of a mapped object."""

    model_config = ConfigDict(from_attributes=True)
    id: int


class UserRow(Row):
    name: str
    email: str


class ProductRow(Row):
    name: str
    price_cents: int
    stock: int


class OrderRow(Row):
    user_id: int
    product_id: int
    quantity: int
    total_cents: int
    placed_at: datetime


class EventRow(Row):
    user_id: int
    kind: str
    happened_at: datetime


class AuditRow(Row):
    action: str
    outcome: str
    at: datetime


class ParcelRow(Row):
    city: str


class UserHistory(UserRow):
    orders: list[OrderRow]
    events: list[EventRow]


class Dashboard(BaseModel):
    users: int
    products: int
    orders: int
    events: int
    revenue_cents: int
    audit_entries: int


class ProductRevenue(BaseModel):
    product: str
    sold: int
    revenue_cents: int


class Buyer(BaseModel):
    name: str
    orders: int
    spent_cents: int


class Destination(BaseModel):
    """Where a statement goes, and why."""

    statement: str
    database: str
    reason: str


class Refusal(BaseModel):
    """A statement that manybase refused before any SQL ran."""

    error: str
    message: str
