"""cross_key: a key into another database, which joins and never reaches DDL."""

from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_mock_engine,
    inspect,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship
from sqlalchemy.schema import CreateTable

from manybase import Database, Databases, cross_key


class ShopBase(DeclarativeBase):
    pass


class User(ShopBase):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(9), primary_key=True)
    events: Mapped[list["Event"]] = relationship(lambda: Event, back_populates="user")


class EventBase(DeclarativeBase):
    pass


class Event(EventBase):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(cross_key(User.id, ondelete="CASCADE"))
    user: Mapped[User] = relationship(back_populates="events")


class OwnedByUser:
    user_id: Mapped[str] = mapped_column(cross_key(User.id))


class Copied(OwnedByUser, EventBase):
    __tablename__ = "copied"
    id: Mapped[int] = mapped_column(primary_key=True)


class CopiedToo(OwnedByUser, EventBase):
    __tablename__ = "copied_too"
    id: Mapped[int] = mapped_column(primary_key=True)


class AbstractOwned(EventBase):
    __abstract__ = True
    user_id: Mapped[str] = mapped_column(cross_key(User.id))


class FromAbstract(AbstractOwned):
    __tablename__ = "from_abstract"
    id: Mapped[int] = mapped_column(primary_key=True)


class AsDataclass(MappedAsDataclass, EventBase):
    __tablename__ = "as_dataclass"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    user_id: Mapped[str] = mapped_column(cross_key(User.id), default="ann")


class OldStyle(EventBase):
    __tablename__ = "old_style"
    id = Column(Integer, primary_key=True)
    user_id = Column(cross_key(User.id), nullable=False)


class LocalUser(EventBase):
    """A table that is called like the one the keys point at, in the other database, declared after them."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(5), primary_key=True)


core = Table(
    "core",
    EventBase.metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", cross_key(User.__table__.c.id, use_alter=True, name="named")),
)
copy = core.to_metadata(MetaData())
TABLES = [
    *(each.__table__ for each in (Event, Copied, CopiedToo, FromAbstract, AsDataclass, OldStyle)),
    core,
    copy,
]


@pytest.fixture(params=TABLES, ids=lambda table: f"{table.name}{' copied' if table is copy else ''}")
def table(request: pytest.FixtureRequest) -> Table:
    """One that has such a key: declared, by a mixin, an abstract base, a dataclass, in Core, copied to a MetaData."""
    found: Table = request.param
    return found


def test_target(table: Table) -> None:
    """It is the column of the other database, also where this one has a table of that name."""
    (key,) = table.c.user_id.foreign_keys

    assert User.__table__.c.id is key.column
    assert User.__table__ is key.constraint.referred_table


def test_type(table: Table) -> None:
    """It is the target's, where the column does not say."""
    assert (String, 9) == (type(table.c.user_id.type), table.c.user_id.type.length)


def test_join(table: Table) -> None:
    """The condition is inferred, as with a ForeignKey."""
    condition = select(User.id).join(table).compile().statement.get_final_froms()[0].onclause

    assert f"users.id = {table.name}.user_id" in (str(condition), " = ".join(reversed(str(condition).split(" = "))))


@pytest.mark.parametrize("backend", ["postgresql", "mysql", "mariadb", "sqlite", "oracle", "mssql"])
def test_ddl(table: Table, backend: str) -> None:
    """No dialect renders it, neither in the table nor by an ALTER after it."""
    sent: list[str] = []
    engine = create_mock_engine(
        f"{backend}://", lambda ddl, *_, **__: sent.append(str(ddl.compile(dialect=engine.dialect)))
    )
    table.metadata.create_all(engine, tables=[table], checkfirst=False)
    table.metadata.drop_all(engine, tables=[table], checkfirst=False)

    assert ["CREATE TABLE", "DROP TABLE"] == [" ".join(ddl.split()[:2]) for ddl in sent]
    assert "user_id" in sent[0]
    assert "REFERENCES" not in sent[0]
    assert "FOREIGN KEY" not in sent[0]


def test_local_key_beside_it() -> None:
    """An ordinary ForeignKey of the same table still reaches DDL."""
    metadata = MetaData()
    Table("parent", metadata, Column("id", Integer, primary_key=True))
    child = Table("child", metadata, Column("u", cross_key(User.id)), Column("p", ForeignKey("parent.id")))

    assert 1 == str(CreateTable(child).compile()).count("FOREIGN KEY")


def test_type_that_the_column_says() -> None:
    """It wins over the target's."""
    column = Table("t", MetaData(), Column("user_id", BigInteger, cross_key(User.id))).c.user_id

    assert BigInteger is type(column.type)


def test_relationship() -> None:
    """It needs no primaryjoin, in either direction, and rows come back through it."""
    assert "users.id = events.user_id" == str(User.events.property.primaryjoin)
    assert "users.id = events.user_id" == str(Event.user.property.primaryjoin)


def test_table_in_a_file(tmp_path: Any) -> None:
    """create_all makes the table without the key, and a row may point at nothing."""
    declared = Databases(
        Database("shop", f"sqlite:///{tmp_path}/shop.db", models=ShopBase),
        Database("events", f"sqlite:///{tmp_path}/events.db", models=EventBase),
    )
    declared.create_all()

    with declared.engine("events").begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.execute(Event.__table__.insert().values(user_id="nobody"))
        assert [] == inspect(connection).get_foreign_keys("events")
    declared.dispose()


def test_string() -> None:
    """Refused: a name could only be looked up in the wrong database. The error shows what to write."""
    with pytest.raises(TypeError, match=r"cross_key\(User.id\), not the string 'users.id'"):
        cross_key("users.id")  # type: ignore[arg-type]


def test_private_name_of_sqlalchemy() -> None:
    """SQLAlchemy still keeps the target of a ForeignKey where manybase gives it to the copies."""
    key = ForeignKey(User.__table__.c.id)

    assert User.__table__.c.id is vars(key)["_table_column"]
    assert vars(key).get("_colspec", key._table_column) is User.__table__.c.id
