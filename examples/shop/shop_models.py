"""What there is: users and products, in the database ``shop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from manybase import Model

if TYPE_CHECKING:
    from examples.shop.analytics_models import Event, Order


class ShopBase(Model, database="shop"):
    """The base of everything in ``shop``."""


class User(ShopBase):
    __tablename__ = "users"  # "user" is a reserved word in PostgreSQL

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str] = mapped_column(String(120), unique=True)
    # Both live in another database: ordinary relationships all the same.
    orders: Mapped[list[Order]] = relationship(back_populates="user", order_by="Order.id")
    events: Mapped[list[Event]] = relationship(back_populates="user", order_by="Event.id")


class Product(ShopBase):
    __tablename__ = "products"
    __table_args__ = (CheckConstraint("stock >= 0", name="stock_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    price_cents: Mapped[int]
    stock: Mapped[int]
