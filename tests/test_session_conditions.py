"""Relationships into another database whose condition is more than a key that points at a primary key."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    joinedload,
    lazyload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)

from manybase import Database, Databases, Session, cross_key
from tests.sessions import SessionKind, statements
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
    """They come by a SELECT .. IN each, which joins the parent's table where it cannot do without."""

    def body(session: Session) -> list[Any]:
        written(session)
        shop = session.scalars(select(Shop)).one()
        with statements(session.databases) as ran:
            found = [[till.id for till in shop.open_tills], len(shop.coupons), sorted(tag.id for tag in shop.tags)]
        return [*found, ran]

    assert [[1], 1, [7, 8], []] == session_kind.run(shops, body)


def test_rows_that_are_locked(session_kind: SessionKind, shops: Databases) -> None:
    """FOR UPDATE stays possible: what asks for the parent is a statement of its database."""

    def body(session: Session) -> int:
        written(session)
        return len(session.scalars(select(Shop).with_for_update()).one().open_tills)

    assert 1 == session_kind.run(shops, body)


def test_parent_by_another_column_than_its_primary_key(session_kind: SessionKind, shops: Databases) -> None:
    """Many to one by a unique column loads as well."""

    def body(session: Session) -> str:
        written(session)
        return session.scalars(select(Coupon)).one().shop.code

    assert "x" == session_kind.run(shops, body)


@pytest.mark.parametrize("load", [selectinload, joinedload, subqueryload])
def test_loader_option_that_cannot_do_without_the_parents_table(
    session_kind: SessionKind, shops: Databases, load: Any
) -> None:
    """It joins the two databases; parents without children have an empty collection."""

    def body(session: Session) -> list[Any]:
        written(session)
        session.add(Shop(id=2, code="y"))
        session.flush()
        session.expunge_all()
        statement = select(Shop).options(lazyload("*"), load(Shop.coupons)).order_by(Shop.id)
        found = session.scalars(statement).unique().all()
        with statements(session.databases) as ran:
            return [[[coupon.id for coupon in shop.coupons] for shop in found], ran]

    assert [[[1], []], []] == session_kind.run(shops, body)
