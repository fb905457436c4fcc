"""Many to many into another database."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    relationship,
)

from manybase import ConfigurationError, Database, Databases, Session, cross_key
from tests.sessions import SessionKind
from tests.shop import FAST


def test_secondary_table_in_another_database() -> None:
    """SQLAlchemy reads it through the target's connection, so the declaration is refused."""
    home, away = MetaData(), MetaData()

    class Linked(DeclarativeBase):
        pass

    class Tag(Linked):
        __table__ = Table("tags", away, Column("id", Integer, primary_key=True))

    class Post(Linked):
        __table__ = Table("posts", home, Column("id", Integer, primary_key=True))
        tags: Mapped[list[Tag]] = relationship(
            secondary=Table("links", home, Column("post", cross_key(__table__.c.id)), Column("tag", cross_key(Tag.id)))
        )

    declared = Databases(Database("home", "sqlite://", models=home), Database("away", "sqlite://", models=away))

    with pytest.raises(ConfigurationError, match="its secondary table 'links' lives in home, and its target in away"):
        Session(declared).route(Post)


def test_many_to_many_into_another_database(session_kind: SessionKind, tmp_path: Any) -> None:
    """With the secondary table beside its target it is written and loaded from either side's objects."""
    home, away = MetaData(), MetaData()

    class Linked(DeclarativeBase):
        pass

    class Tag(Linked):
        __table__ = Table("tags", away, Column("id", Integer, primary_key=True))

    class Post(Linked):
        __table__ = Table("posts", home, Column("id", Integer, primary_key=True))
        tags: Mapped[list[Tag]] = relationship(
            secondary=Table(
                "links", away, Column("post", cross_key(__table__.c.id)), Column("tag", ForeignKey(Tag.id))
            ),
            lazy="joined",
        )

    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("home", "away")]
    declared = Databases(
        Database("home", urls[0], models=home), Database("away", urls[1], models=away), engine_options=FAST
    )

    def body(session: Session) -> list[int]:
        session.add(Post(id=1, tags=[Tag(id=7), Tag(id=8)]))
        session.commit()
        session.expunge_all()
        return sorted(tag.id for tag in session.scalars(select(Post)).one().tags)

    assert [7, 8] == session_kind.run(declared, body)
