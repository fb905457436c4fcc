"""Autogenerate on each server: nothing to do right after an upgrade, and what somebody changed by hand is found."""

import enum
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    URL,
    CheckConstraint,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases, cross_key
from manybase.migrations import Wanted, check, downgrade, revise, upgrade
from tests.servers.server import Server

SERVERS = [
    "sqlite",
    *(pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.server]) for name in ("postgresql", "mariadb")),
]


class Size(enum.Enum):
    small = "s"
    large = "l"


class Base(DeclarativeBase): ...


class OtherBase(DeclarativeBase): ...


class Person(OtherBase):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)


class Kind(Base):
    __tablename__ = "kind"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)


class Animal(Base):
    __tablename__ = "animal"
    __table_args__ = (
        CheckConstraint("weight > 0", name="ck_animal_weight"),
        UniqueConstraint("kind_id", "name", name="uq_animal_kind_name"),
        Index("ix_animal_born_name", "born", "name"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[uuid.UUID]
    kind_id: Mapped[int] = mapped_column(ForeignKey("kind.id"), index=True)
    owner_id: Mapped[int] = mapped_column(cross_key(Person.id), index=True)
    name: Mapped[str] = mapped_column(String(100), server_default="nobody")
    size: Mapped[Size]
    weight: Mapped[Decimal] = mapped_column(Numeric(10, 3), server_default=text("1.5"))
    legs: Mapped[int] = mapped_column(server_default="4")
    tame: Mapped[bool]
    share: Mapped[float | None]
    born: Mapped[date | None]
    seen: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_there: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    story: Mapped[str | None] = mapped_column(Text)
    picture: Mapped[bytes | None] = mapped_column(LargeBinary)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path, create_database: Callable[[Server], URL]) -> URL:
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "zoo.db"))
    made = create_database(request.getfixturevalue(request.param))
    return made.set(drivername="postgresql+psycopg" if request.param == "postgresql" else "mysql+pymysql")


@pytest.fixture
def databases(url: URL, tmp_path: Path) -> Iterator[Databases]:
    databases = Databases(
        Database("zoo", url, models=Base),
        Database("people", f"sqlite:///{tmp_path}/people.db", models=OtherBase),
        migrations=tmp_path / "migrations",
    )
    yield databases
    databases.dispose()


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def differences(databases: Databases) -> dict[str, tuple[str, ...]]:
    outcome = check(databases)
    assert {} == outcome.failed
    return {name: drift.differences for name, drift in outcome.done.items()}


def test_nothing_to_do_after_an_upgrade(databases: Databases, engine: Engine) -> None:
    """Each database gets its own tables, and no key that crosses; then models and databases agree."""
    made = revise(databases, None, Wanted("all"))
    texts = [each.path.read_text() for each in made if each.path]
    assert [True, False] == ["'animal'" in each for each in texts]
    assert "person" not in texts[0]
    assert 1 == texts[0].count("ForeignKeyConstraint")

    upgrade(databases)
    assert {"zoo": (), "people": ()} == differences(databases)
    assert [None, None] == [each.revision for each in revise(databases, None, Wanted("again"))]

    downgrade(databases, "base", allow_data_loss=True)
    if engine.dialect.name == "postgresql":  # whose types Alembic leaves where they are
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TYPE size")
    upgrade(databases)
    assert {"zoo": (), "people": ()} == differences(databases)


def test_drift_made_by_hand(databases: Databases, engine: Engine) -> None:
    """A column that is missing, one too many, an index that was dropped, and only in that database."""
    revise(databases, None, Wanted("all"))
    upgrade(databases)
    drop_index = "DROP INDEX ix_animal_born_name" + (" ON animal" if engine.dialect.name == "mysql" else "")
    with engine.begin() as connection:
        for statement in (
            drop_index,
            "ALTER TABLE animal ADD COLUMN fur VARCHAR(10)",
            "ALTER TABLE animal DROP COLUMN story",
        ):
            connection.exec_driver_sql(statement)

    found = differences(databases)

    assert () == found["people"]
    told = " ".join(found["zoo"])
    assert "ix_animal_born_name" in told
    assert "'story'" in told
    assert "'fur'" in told
    (zoo, people) = revise(databases, None, Wanted("repair"))
    assert (True, None) == (zoo.revision is not None, people.revision)
    upgrade(databases, allow_data_loss=True)
    assert {"zoo": (), "people": ()} == differences(databases)


def test_decisions_of_atomic_commits(databases: Databases) -> None:
    """The table that manybase keeps there is nobody's drift."""
    from manybase.coordinators import identity_of

    revise(databases, None, Wanted("all"))
    upgrade(databases)
    for name in databases.names:
        identity_of(databases, name, asyncio=False)

    assert {"zoo": (), "people": ()} == differences(databases)
