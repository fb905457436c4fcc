"""Models on `Model`, and keys into another database."""

from typing import assert_type

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column, relationship

from manybase import Model, cross_key


class ShopBase(Model, database="shop"):
    pass


class AnalyticsBase(Model, database="analytics"):
    metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})


class User(ShopBase):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    nickname: Mapped[str | None]
    events: Mapped[list["Event"]] = relationship(back_populates="user")


class Event(AnalyticsBase):
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(cross_key(User.id, ondelete="CASCADE"))
    user: Mapped[User] = relationship(back_populates="events")


class Entry(Model, database="audit"):
    id: Mapped[int] = mapped_column(primary_key=True)


class Explicit(ShopBase):
    __tablename__ = "named_here"
    id: Mapped[int] = mapped_column(primary_key=True)


class DataBase(MappedAsDataclass, Model, database="data"):
    pass


class Point(DataBase, kw_only=True):
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    x: Mapped[int]
    y: Mapped[int] = mapped_column(default=0)


parent = Table("parent", MetaData(), Column("id", Integer, primary_key=True))
core = Table("core", MetaData(), Column("parent_id", cross_key(parent.c.id)))

user = User(name="ann", events=[Event()])
assert_type(user.id, int)
assert_type(user.nickname, str | None)
assert_type(user.events, list[Event])
assert_type(user.events[0].user, User)
assert_type(Point(x=1, y=2).x, int)
assert_type(User.metadata, MetaData)
assert_type(cross_key(User.id), ForeignKey)

cross_key("users.id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Point(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
