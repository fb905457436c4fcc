"""Relationships into another database whose condition is more than a key that points at a primary key."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, lazyload, mapped_column, relationship, selectinload

from manybase import CrossDatabaseError, Database, Databases, Session, cross_key
from tests.sessions import SessionKind
from tests.shop import FAST


class Base(DeclarativeBase):
    pass


class HomeBase(Base):
    __abstract__ = True
    metadata = MetaData()


class AwayBase(Base):
    __abstract__ = True
    metadata = MetaData()


links = Table("links", AwayBase.metadata, Column("shop_id", Integer), Column("tag_id", ForeignKey("tags.id")))


class Shop(HomeBase):
    __tablename__ = "shops"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(10), unique=True)
    open_tills: Mapped[list["Till"]] = relationship(
        primaryjoin="and_(Shop.id == Till.shop_id, Till.is_open == 1)", viewonly=True, lazy="joined"
    )
    coupons: Mapped[list["Coupon"]] = relationship(
        primaryjoin="Shop.code == foreign(Coupon.shop_code)", back_populates="shop", lazy="subquery"
    )
    tags: Mapped[list["Tag"]] = relationship(
        secondary=links, primaryjoin=lambda: Shop.id == links.c.shop_id, lazy="joined"
    )


class Till(AwayBase):
    __tablename__ = "tills"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(cross_key(Shop.id))
    is_open: Mapped[int]


class Coupon(AwayBase):
    __tablename__ = "coupons"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_code: Mapped[str] = mapped_column(String(10))
    shop: Mapped[Shop] = relationship(
        primaryjoin="Shop.code == foreign(Coupon.shop_code)", back_populates="coupons", lazy="joined"
    )


class Tag(AwayBase):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def shops(tmp_path: Any) -> Databases:
    home, away = (f"sqlite:///{tmp_path}/{name}.db" for name in ("home", "away"))
    return Databases(
        Database("home", home, models=HomeBase), Database("away", away, models=AwayBase), engine_options=FAST
    )


def written(session: Session) -> None:
    session.add(Shop(id=1, code="x", coupons=[Coupon(id=1)], tags=[Tag(id=7), Tag(id=8)]))
    session.add_all([Till(id=1, shop_id=1, is_open=1), Till(id=2, shop_id=1, is_open=0)])
    session.commit()
    session.expunge_all()


def test_collections_that_are_configured_to_join(session_kind: SessionKind, shops: Databases) -> None:
    """Where no SELECT .. IN can do without the parent's table, they load lazily: never a join, never an error."""

    def body(session: Session) -> list[Any]:
        written(session)
        shop = session.scalars(select(Shop)).one()
        return [[till.id for till in shop.open_tills], len(shop.coupons), sorted(tag.id for tag in shop.tags)]

    assert [[1], 1, [7, 8]] == session_kind.run(shops, body)


def test_parent_by_another_column_than_its_primary_key(session_kind: SessionKind, shops: Databases) -> None:
    """Many to one by a unique column loads as well."""

    def body(session: Session) -> str:
        written(session)
        return session.scalars(select(Coupon)).one().shop.code

    assert "x" == session_kind.run(shops, body)


def test_loader_option_that_cannot_do_without_the_parents_table(session_kind: SessionKind, shops: Databases) -> None:
    """selectinload() of such a relationship is refused like any other statement over two databases."""

    def body(session: Session) -> str:
        written(session)
        with pytest.raises(CrossDatabaseError, match="away: coupons; home: shops"):
            session.scalars(select(Shop).options(lazyload("*"), selectinload(Shop.coupons))).all()
        return "refused"

    assert "refused" == session_kind.run(shops, body)
