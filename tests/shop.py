"""Three databases for the session tests, a shop, its analytics and its audit log, with plain SQLAlchemy models."""

from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import URL, ForeignKey, MetaData, String
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from manybase import Database, Databases, cross_key

NAMES = ("shop", "analytics", "audit")


class Base(AsyncAttrs, DeclarativeBase):
    """One registry, so that relationships find their classes by name; each database has a MetaData of its own."""


class ShopBase(Base):
    __abstract__ = True
    metadata = MetaData()


class AnalyticsBase(Base):
    __abstract__ = True
    metadata = MetaData()


class AuditBase(Base):
    __abstract__ = True
    metadata = MetaData()


class User(ShopBase):
    __tablename__ = "users"
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "user"}
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    kind: Mapped[str] = mapped_column(String(20), default="user")
    orders: Mapped[list["Order"]] = relationship(back_populates="user", order_by="Order.id")
    events: Mapped[list["Event"]] = relationship(back_populates="user", order_by="Event.id")


class Admin(User):
    __tablename__ = "admins"
    __mapper_args__: ClassVar = {"polymorphic_identity": "admin"}
    id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    level: Mapped[int]


class Order(ShopBase):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    total: Mapped[int]
    user: Mapped[User] = relationship(back_populates="orders")


class Event(AnalyticsBase):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(cross_key(User.id))
    kind: Mapped[str] = mapped_column(String(20))
    user: Mapped[User | None] = relationship(back_populates="events")
    clicks: Mapped[list["Click"]] = relationship(order_by="Click.id")


class Click(AnalyticsBase):
    __tablename__ = "clicks"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey(Event.id))


class Entry(AuditBase):
    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(100))


MODELS = {"shop": ShopBase, "analytics": AnalyticsBase, "audit": AuditBase}


def shop_databases(urls: dict[str, str | URL], *, default: str | None = None, **options: Any) -> Databases:
    """The three databases at these URLs."""
    declared = [Database(name, urls[name], models=MODELS[name], default=name == default) for name in NAMES]
    return Databases(*declared, **options)


def in_files(folder: Path, *, engine_options: dict[str, Any] | None = None, **options: Any) -> Databases:
    """The three databases as SQLite files."""
    urls: dict[str, str | URL] = {name: f"sqlite:///{folder / name}.db" for name in NAMES}
    return shop_databases(urls, engine_options={**FAST, **(engine_options or {})}, **options)


def without_flushing(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


FAST = {"pool_events": [(without_flushing, "connect")]}  # SQLite files of tests need not survive a power cut


def ann() -> User:
    """A user with rows in two databases."""
    return User(
        id=1,
        name="ann",
        orders=[Order(id=1, total=10), Order(id=2, total=20)],
        events=[Event(id=1, kind="view", clicks=[Click(id=1)]), Event(id=2, kind="buy")],
    )
