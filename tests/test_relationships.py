"""Relationships into another database, as they are configured. tests/test_session_relationships.py loads them."""

from typing import Any, ClassVar

import pytest
import sqlalchemy
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    RelationshipProperty,
    aliased,
    backref,
    foreign,
    relationship,
)

from manybase import ConfigurationError, Database, Databases, Session, cross_key


def id_column() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def posts_and_remarks(*, lazy: Any = "joined", base: Any = None, **options: Any) -> tuple[Any, Any]:
    """A class with a collection of another one, each in a MetaData of its own."""
    base = base or type("Base", (DeclarativeBase,), {})
    post = type("Post", (base,), {"__table__": Table("posts", MetaData(), id_column())})
    key = Column("post_id", cross_key(post.id))
    remark = type("Remark", (base,), {"__table__": Table("remarks", MetaData(), id_column(), key)})
    post.remarks = relationship(remark, lazy=lazy, passive_deletes=True, **options)
    return post, remark


def load(**models: Any) -> Databases:
    declared = Databases(*(Database(name, "sqlite://", models=each) for name, each in models.items()))
    declared.load()
    return declared


@pytest.mark.parametrize("lazy", ["joined", "subquery", False])
def test_configured_to_join(lazy: Any) -> None:
    """It loads by SELECT .. IN: no statement joins its table."""
    post, remark = posts_and_remarks(lazy=lazy)
    assert "JOIN" in str(select(post)) or lazy == "subquery"

    load(home=post, away=remark)

    assert "selectin" == post.remarks.property.lazy
    assert "JOIN" not in str(select(post))
    assert "JOIN" not in str(select(aliased(post)))


@pytest.mark.parametrize(
    "lazy", ["select", True, "selectin", "immediate", "raise", "raise_on_sql", "write_only", "dynamic"]
)
def test_configured_otherwise(lazy: Any) -> None:
    """What does not join works across databases by itself, and is left alone."""
    post, remark = posts_and_remarks(lazy=lazy)
    before = post.remarks.property.lazy
    load(home=post, away=remark)

    assert before == post.remarks.property.lazy


@pytest.mark.parametrize("lazy", ["joined", "subquery", False, "selectin"])
def test_condition_that_needs_the_parents_table(lazy: Any) -> None:
    """It loads by SELECT .. IN like any other: that statement joins the two databases."""
    base: Any = type("Base", (DeclarativeBase,), {})
    code = Column("code", Integer, unique=True)
    post = type("Post", (base,), {"__table__": Table("posts", MetaData(), id_column(), code)})
    key = Column("post_code", Integer)
    remark = type("Remark", (base,), {"__table__": Table("remarks", MetaData(), id_column(), key)})
    post.remarks = relationship(remark, primaryjoin=code == foreign(key), lazy=lazy, back_populates="post")
    remark.post = relationship(post, primaryjoin=code == foreign(key), lazy=lazy, back_populates="remarks")
    load(home=post, away=remark)

    assert ["selectin"] * 2 == [each.property.lazy for each in (post.remarks, remark.post)]


def test_within_a_database() -> None:
    """A join inside one database stays a join."""
    post, remark = posts_and_remarks()
    load(home=[post, remark], away=[])

    assert "joined" == post.remarks.property.lazy
    assert "LEFT OUTER JOIN remarks" in str(select(post))


def test_models_that_several_databases_share() -> None:
    """A session is pinned to one of them, which has both tables."""
    post, remark = posts_and_remarks()
    regions = [Database(name, models=[post, remark], shared_models=True) for name in ("eu", "us")]
    Databases(*regions).load()

    assert "joined" == post.remarks.property.lazy


def test_back_reference() -> None:
    """The side that `backref` makes is changed like the one that was written."""
    post, remark = posts_and_remarks(backref=backref("post", lazy="joined"))
    load(home=post, away=remark)

    assert ["selectin"] * 2 == [each.property.lazy for each in (post.remarks, remark.post)]


def test_inherited() -> None:
    """Children of a class inherit the change with the relationship."""

    class Base(DeclarativeBase):
        pass

    class Post(Base):
        __table__ = Table("posts", MetaData(), id_column(), Column("kind", Integer))
        __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": 0}
        remarks: Mapped[list["Remark"]] = relationship(lazy="joined")

    class Note(Post):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": 1}

    class Remark(Base):
        __table__ = Table("remarks", MetaData(), id_column(), Column("post_id", cross_key(Post.id)))

    load(home=Post, away=Remark)

    assert "JOIN" not in str(select(Note))


def test_class_that_comes_later() -> None:
    """It is changed when it is first used."""
    base: Any = type("Base", (DeclarativeBase,), {})
    home, away = (type(name, (base,), {"__abstract__": True, "metadata": MetaData()}) for name in ("Home", "Away"))
    declared = load(home=home, away=away)
    post = type("Post", (home,), {"__tablename__": "posts", "id": id_column()})
    key = Column("post_id", cross_key(post.id))
    remark = type("Remark", (away,), {"__tablename__": "remarks", "id": id_column(), "post_id": key})
    post.remarks = relationship(remark, lazy="joined")

    with Session(declared) as session:
        assert "home" == session.route(select(post)).database


def test_class_that_is_not_there_yet() -> None:
    """SQLAlchemy's error passes, and the next session tries again."""
    base: Any = type("Base", (DeclarativeBase,), {})
    post = type("Post", (base,), {"__table__": Table("posts", MetaData(), id_column())})
    post.remarks = relationship("Remark", lazy="joined")
    declared = Databases(Database("home", models=base), Database("away", default=True))
    with pytest.raises(InvalidRequestError, match="'Remark' failed to locate a name"):
        Session(declared)


SECONDARY = "its secondary table 'links' lives in {}, and its target in away.*move the secondary table to the target's"


@pytest.mark.parametrize("where", ["home", "third"])
def test_secondary_table_that_is_not_with_its_target(where: str) -> None:
    """Refused at start-up, every time: SQLAlchemy reads and writes both through one connection."""
    base: Any = type("Base", (DeclarativeBase,), {})
    metadata = {name: MetaData() for name in ("home", "away", "third")}
    post = type("Post", (base,), {"__table__": Table("posts", metadata["home"], id_column())})
    tag = type("Tag", (base,), {"__table__": Table("tags", metadata["away"], id_column())})
    columns = [Column("post_id", cross_key(post.id)), Column("tag_id", cross_key(tag.id))]
    post.tags = relationship(tag, secondary=Table("links", metadata[where], *columns))
    declared = Databases(*(Database(name, models=each) for name, each in metadata.items()))

    for _ in range(2):
        with pytest.raises(ConfigurationError, match=SECONDARY.format(where)):
            Session(declared).route(post)


def test_secondary_table_with_its_target() -> None:
    """This is what works; since SQLAlchemy 2.1 the SELECT .. IN does without the parent's table."""
    base: Any = type("Base", (DeclarativeBase,), {})
    home, away = MetaData(), MetaData()
    post = type("Post", (base,), {"__table__": Table("posts", home, id_column())})
    tag = type("Tag", (base,), {"__table__": Table("tags", away, id_column())})
    columns = [Column("post_id", cross_key(post.id)), Column("tag_id", ForeignKey(tag.id))]
    post.tags = relationship(tag, secondary=Table("links", away, *columns), lazy="joined")
    with Session(load(home=home, away=away)) as session:
        assert "home" == session.route(select(post)).database
    assert "selectin" == post.tags.property.lazy
    assert sqlalchemy.__version__.startswith("2.0.") != post.tags.property.strategy.omit_join
    assert "JOIN" not in str(select(post))


def test_private_name_of_sqlalchemy() -> None:
    """`_get_strategy` still gives the loader that a strategy key names."""
    post, _ = posts_and_remarks(lazy="selectin")
    configured: RelationshipProperty[Any] = post.remarks.property
    key = (("lazy", "selectin"),)

    assert key == configured.strategy_key
    assert type(configured._get_strategy(key)).__name__.endswith("SelectInLoader")
    assert configured.strategy is configured._get_strategy(key)
