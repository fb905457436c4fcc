"""Models: the tables of the cross-database tests, mapped once; each world says anew which database owns them."""

import enum
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    CHAR,
    JSON,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    case,
    func,
    select,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedColumn,
    column_property,
    deferred,
    foreign,
    mapped_column,
    relationship,
    remote,
)

from manybase import cross_key

MYSQL = ("mysql", "mariadb")


def exact(length: int) -> String:
    """A string that compares the same everywhere; plain ``String`` ignores case and trailing blanks on MariaDB."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_nopad_bin"), *MYSQL)


def moment(*, timezone: bool = False) -> DateTime:
    """A date and time with microseconds."""
    return DateTime(timezone=timezone).with_variant(mysql.DATETIME(fsp=6), *MYSQL)


def json() -> JSON:
    return JSON(none_as_null=True)


class Color(enum.Enum):
    red = 1
    green = 2
    blue = 3


class Upper(TypeDecorator[str]):
    """Upper case in Python, lower case behind a prefix in the database."""

    impl = exact(40)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else f"s:{value.lower()}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value[2:].upper()


class Token(TypeDecorator[uuid.UUID]):
    """A UUID on PostgreSQL, 32 characters elsewhere: what is stored depends on the dialect."""

    impl = CHAR(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(postgresql.UUID() if dialect.name == "postgresql" else CHAR(32))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else value.hex

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(value)


class Base(DeclarativeBase):
    pass


def key() -> MappedColumn[int]:
    return mapped_column(primary_key=True, autoincrement=False)


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = key()
    name: Mapped[str] = mapped_column(exact(50))
    nick: Mapped[str | None] = mapped_column(String(50))
    country: Mapped[str | None] = mapped_column(exact(2))
    uid: Mapped[uuid.UUID] = mapped_column(Uuid)
    color: Mapped[Color | None] = mapped_column(Enum(Color))
    balance: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    score: Mapped[float | None] = mapped_column(Double)
    meta: Mapped[Any] = mapped_column(json(), nullable=True)
    joined: Mapped[datetime] = mapped_column(moment())
    seen: Mapped[datetime | None] = mapped_column(moment(timezone=True))
    born: Mapped[date] = mapped_column(Date)
    active: Mapped[bool | None]
    boss_id: Mapped[int | None]
    code: Mapped[str | None] = mapped_column(Upper)
    token: Mapped[uuid.UUID | None] = mapped_column(Token)

    events: Mapped[list["Event"]] = relationship(back_populates="user", order_by="Event.id")
    payments: Mapped[list["Payment"]] = relationship(back_populates="user", order_by="Payment.id")
    boss: Mapped["User | None"] = relationship(
        primaryjoin=lambda: foreign(User.boss_id) == remote(User.id), uselist=False, viewonly=True
    )
    tags: Mapped[list["Tag"]] = relationship(secondary="user_tags", order_by="Tag.id")
    event_kinds: AssociationProxy[list[str]] = association_proxy("events", "kind")

    @hybrid_property
    def shout(self) -> str:
        return self.name + "!"

    @hybrid_property
    def is_rich(self) -> Any:
        return self.balance > 50


User.tier = deferred(column_property(case((User.balance > 50, "gold"), else_="tin")))


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = key()
    label: Mapped[str] = mapped_column(exact(20))


user_tags = Table(
    "user_tags",
    Base.metadata,
    Column("user_id", ForeignKey(User.id), primary_key=True),
    Column("tag_id", ForeignKey(Tag.id), primary_key=True),
)


class Kind(Base):
    __tablename__ = "kinds"
    a: Mapped[int] = key()
    b: Mapped[str] = mapped_column(exact(5), primary_key=True)
    title: Mapped[str] = mapped_column(exact(30))
    worth: Mapped[Decimal] = mapped_column(Numeric(38, 10))


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = key()
    user_id: Mapped[int | None] = mapped_column(cross_key(User.id))
    product_id: Mapped[int | None] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(exact(20))
    label: Mapped[str | None] = mapped_column(String(20))
    amount: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    quantity: Mapped[int]
    weight: Mapped[float | None] = mapped_column(Double)
    at: Mapped[datetime] = mapped_column(moment())
    seen: Mapped[datetime | None] = mapped_column(moment(timezone=True))
    ref: Mapped[uuid.UUID] = mapped_column(Uuid)
    payload: Mapped[Any] = mapped_column(json(), nullable=True)
    kind_a: Mapped[int | None]
    kind_b: Mapped[str | None] = mapped_column(exact(5))
    code: Mapped[str | None] = mapped_column(Upper)
    token: Mapped[uuid.UUID | None] = mapped_column(Token)
    note: Mapped[str | None] = mapped_column(exact(40))
    text: Mapped[str | None] = mapped_column(Text)
    day: Mapped[date] = mapped_column(Date)
    color: Mapped[Color | None] = mapped_column(Enum(Color))
    took: Mapped[timedelta | None] = mapped_column(Interval)
    blob: Mapped[bytes] = mapped_column(LargeBinary)

    user: Mapped[User | None] = relationship(back_populates="events")
    product: Mapped["Product | None"] = relationship(
        primaryjoin=lambda: foreign(Event.product_id) == Product.id, back_populates="events"
    )
    payments: Mapped[list["Payment"]] = relationship(back_populates="event", order_by="Payment.id")


class Payment(Base):
    __tablename__ = "payments"
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "means", "polymorphic_identity": "cash"}
    id: Mapped[int] = key()
    means: Mapped[str] = mapped_column(exact(10))
    event_id: Mapped[int] = mapped_column(ForeignKey(Event.id))
    user_id: Mapped[int | None] = mapped_column(cross_key(User.id))
    total: Mapped[Decimal] = mapped_column(Numeric(20, 6))

    event: Mapped[Event] = relationship(back_populates="payments")
    user: Mapped[User | None] = relationship(back_populates="payments")


class CardPayment(Payment):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "card"}
    digits: Mapped[str | None] = mapped_column(exact(4))


class Animal(Base):
    __tablename__ = "animals"
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "species", "polymorphic_identity": "animal"}
    id: Mapped[int] = key()
    species: Mapped[str] = mapped_column(exact(10))
    owner_id: Mapped[int] = mapped_column(cross_key(User.id))
    owner: Mapped[User] = relationship()


class Dog(Animal):
    __tablename__ = "dogs"
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "dog"}
    id: Mapped[int] = mapped_column(ForeignKey(Animal.id), primary_key=True)
    bark: Mapped[str] = mapped_column(exact(20))


class Visit(Base):
    """A table without rows."""

    __tablename__ = "visits"
    id: Mapped[int] = key()
    user_id: Mapped[int] = mapped_column(cross_key(User.id))
    length: Mapped[int | None]


class Maker(Base):
    __tablename__ = "makers"
    id: Mapped[int] = key()
    name: Mapped[str] = mapped_column(exact(40))
    country: Mapped[str | None] = mapped_column(exact(2))
    products: Mapped[list["Product"]] = relationship(back_populates="maker", order_by="Product.id")


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = key()
    maker_id: Mapped[int | None] = mapped_column(ForeignKey(Maker.id))
    name: Mapped[str] = mapped_column(exact(40))
    category: Mapped[str | None] = mapped_column(exact(20))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    since: Mapped[date] = mapped_column(Date)
    maker: Mapped[Maker | None] = relationship(back_populates="products")
    events: Mapped[list[Event]] = relationship(
        primaryjoin=lambda: foreign(Event.product_id) == Product.id, back_populates="product", order_by=Event.id
    )


class Stock(Base):
    """How many of a product are in the store of a country: its key has two columns."""

    __tablename__ = "stocks"
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id), primary_key=True, autoincrement=False)
    country: Mapped[str] = mapped_column(exact(2), primary_key=True)
    pieces: Mapped[int]


User.event_count = deferred(
    column_property(
        select(func.count(Event.id)).where(Event.user_id == User.id).correlate_except(Event).scalar_subquery()
    )
)

PARTS: dict[str, list[Any]] = {
    "shop": [User, Tag, user_tags, Kind],
    "analytics": [Event, Payment, CardPayment, Animal, Dog, Visit],
    "stock": [Maker, Product, Stock],
}
