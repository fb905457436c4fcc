"""What happened: orders and events, in the database ``analytics``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from examples.shop.clock import utc_now
from examples.shop.shop_models import Product, User
from manybase import Model, cross_key


class AnalyticsBase(Model, database="analytics"):
    """The base of everything in ``analytics``."""


class Order(AnalyticsBase):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    # Keys into another database: relationships infer from them, and they never reach the DDL. No server checks them,
    # so the relationships may find nothing.
    user_id: Mapped[int] = mapped_column(cross_key(User.id), index=True)
    product_id: Mapped[int] = mapped_column(cross_key(Product.id), index=True)
    quantity: Mapped[int]
    total_cents: Mapped[int]
    placed_at: Mapped[datetime] = mapped_column(default=utc_now)
    user: Mapped[User | None] = relationship(back_populates="orders")
    product: Mapped[Product | None] = relationship()


class Event(AnalyticsBase):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(cross_key(User.id), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    happened_at: Mapped[datetime] = mapped_column(default=utc_now)
    user: Mapped[User | None] = relationship(back_populates="events")
