"""Relationships into another database: they load by a SELECT of their own there, never by a join."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    WriteOnlyMapped,
    immediateload,
    joinedload,
    lazyload,
    mapped_column,
    relationship,
    selectinload,
)

from manybase import Database, Databases, Session, cross_key
from tests.sessions import Run, SessionKind, statements, where
from tests.shop import FAST, Event, User, ann


def test_lazy_load(run: Run) -> None:
    """A collection and its back reference come from the database of their class."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        with statements(session.databases) as ran:
            event = session.get_one(Event, 1)
            found = [event.user.name, [each.kind for each in event.user.events]]
        return [*found, where(ran)]

    assert ["ann", ["view", "buy"], ["analytics", "shop", "analytics"]] == run(body)


@pytest.mark.parametrize("load", [selectinload, immediateload, lazyload])
def test_collection_by_loader_option(run: Run, load: Any) -> None:
    """One to many: the second SELECT runs in the other database, nested ones too."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        with statements(session.databases) as ran:
            user = session.scalars(select(User).options(load(User.events).selectinload(Event.clicks))).one()
            found = [[event.kind, len(event.clicks)] for event in user.events]
        return [found, where(ran)]

    assert [[["view", 1], ["buy", 0]], ["shop", "analytics", "analytics"]] == run(body)


def test_parents_by_selectinload(run: Run) -> None:
    """Many to one: the parents of all rows come with one SELECT of the other database, and back again."""

    def body(session: Session) -> list[Any]:
        session.add_all([ann(), User(name="bob", events=[Event(kind="view")]), Event(kind="nobody's")])
        session.commit()
        session.expunge_all()
        options = selectinload(Event.user).selectinload(User.orders)
        with statements(session.databases) as ran:
            events = session.scalars(select(Event).options(options).order_by(Event.id)).all()
            found = [event.user and [event.user.name, len(event.user.orders)] for event in events]
        return [found, where(ran)]

    assert [[["ann", 2], ["ann", 2], ["bob", 0], None], ["analytics", "shop", "shop"]] == run(body)


def test_joinedload_inside_one_database(run: Run) -> None:
    """It stays a join, also below a selectinload that crossed over."""

    def body(session: Session) -> list[str]:
        session.add(ann())
        session.commit()
        options = selectinload(User.events).joinedload(Event.clicks)
        with statements(session.databases) as ran:
            session.scalars(select(User).options(options, joinedload(User.orders))).unique().one()
        return [each.sql for each in ran]

    shop, analytics = run(body)
    assert "LEFT OUTER JOIN orders" in shop
    assert "LEFT OUTER JOIN analytics.clicks" in analytics  # one SQLite transaction, where the second file is attached


class Base(DeclarativeBase):
    pass


class HomeBase(Base):
    __abstract__ = True
    metadata = MetaData()


class AwayBase(Base):
    __abstract__ = True
    metadata = MetaData()


class Author(HomeBase):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", lazy="joined", order_by="Book.id")
    prizes: Mapped[list["Prize"]] = relationship(lazy="subquery", order_by="Prize.id")
    letters: WriteOnlyMapped["Letter"] = relationship()


class Book(HomeBase):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
    author: Mapped[Author] = relationship(back_populates="books")
    reviews: Mapped[list["Review"]] = relationship(back_populates="book", lazy="joined", order_by="Review.id")


class Prize(AwayBase):
    __tablename__ = "prizes"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(cross_key(Author.id))


class Letter(AwayBase):
    __tablename__ = "letters"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column(cross_key(Author.id))


class Review(AwayBase):
    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(cross_key(Book.id))
    book: Mapped[Book] = relationship(back_populates="reviews", lazy="joined", innerjoin=True)


@pytest.fixture
def books(tmp_path: Any) -> Databases:
    return Databases(
        Database("home", f"sqlite:///{tmp_path}/home.db", models=HomeBase),
        Database("away", f"sqlite:///{tmp_path}/away.db", models=AwayBase),
        engine_options=FAST,
    )


def written(session: Session) -> None:
    author = Author(id=1, books=[Book(id=1, reviews=[Review(id=1), Review(id=2)]), Book(id=2)], prizes=[Prize(id=1)])
    session.add(author)
    session.commit()
    session.expunge_all()


def test_relationships_configured_to_join(session_kind: SessionKind, books: Databases) -> None:
    """lazy="joined" and lazy="subquery" load by SELECT .. IN across databases, below a join inside one too."""

    def body(session: Session) -> list[Any]:
        written(session)
        with statements(books) as ran:
            author = session.scalars(select(Author)).unique().one()
            found = [[len(book.reviews) for book in author.books], len(author.prizes)]
        assert ["home", "away", "away"] == sorted(where(ran), reverse=True)
        assert "JOIN books" in ran[0].sql
        return found

    assert [[2, 0], 1] == session_kind.run(books, body)


def test_relationships_configured_to_join_and_get(session_kind: SessionKind, books: Databases) -> None:
    """get(), refresh() and a configured many to one do the same."""

    def body(session: Session) -> list[Any]:
        written(session)
        author = session.get_one(Author, 1)
        session.refresh(author)
        session.expunge_all()
        with statements(books) as ran:
            review = session.get_one(Review, 2)
            found = [review.book.id, len(author.prizes), len(author.books[0].reviews)]
        assert ["away", "home"] == where(ran)[:2]
        return found

    assert [1, 1, 2] == session_kind.run(books, body)


def test_loader_option_over_a_configured_join(session_kind: SessionKind, books: Databases) -> None:
    """The user's own option wins over our default."""

    def body(session: Session) -> list[Any]:
        written(session)
        options = (lazyload(Author.books), lazyload(Author.prizes))
        with statements(books) as ran:
            session.scalars(select(Author).options(*options)).one()
        return where(ran)

    assert ["home"] == session_kind.run(books, body)


def test_write_only_relationship(session_kind: SessionKind, books: Databases) -> None:
    """Its statements run in the other database, like those of any select()."""

    def body(session: Session) -> list[int]:
        author = Author(id=1)
        session.add(author)
        author.letters.add_all([Letter(id=1), Letter(id=2)])
        session.commit()
        return [letter.id for letter in session.scalars(author.letters.select().order_by(Letter.id))]

    assert [1, 2] == session_kind.run(books, body)
