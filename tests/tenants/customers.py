"""Items of tenants, which have the same primary keys everywhere, and the customers that all databases share."""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Enum, MetaData, Sequence, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases
from tests.shop import FAST

TENANTS = ("acme", "globex", "initech")


class Base(DeclarativeBase): ...


class Crm(Base):
    __abstract__ = True
    metadata = MetaData()


class Shared(Base):
    __abstract__ = True
    metadata = MetaData()


class Item(Crm):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(String(60))
    amount: Mapped[int] = mapped_column(default=0)


class Customer(Shared):
    __tablename__ = "customers"
    slug: Mapped[str] = mapped_column(String(60), primary_key=True)
    shard: Mapped[str | None] = mapped_column(String(60))


class Typed(DeclarativeBase): ...


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Numbered(Typed):
    """With a type and a sequence, which PostgreSQL keeps in a schema too."""

    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(Sequence("numbers", start=1, metadata=Typed.metadata), primary_key=True)
    colour: Mapped[Colour] = mapped_column(Enum(Colour, name="colour"))


def in_files(folder: Path, tenants: Any = TENANTS, *, shared: bool = False, **options: Any) -> Databases:
    """A SQLite file for each tenant, and one that they share."""
    crm = Database("crm", f"sqlite:///{folder}/crm_{{tenant}}.db", models=Crm, tenants=tenants)
    more = [Database("shared", f"sqlite:///{folder}/shared.db", models=Shared)] if shared else []
    return Databases(crm, *more, engine_options={**FAST, **options.pop("engine_options", {})}, **options)


def at(url: URL, pattern: str) -> str:
    """The URL with another name of the database, in which ``{tenant}`` stands."""
    return url.set(database="PLACE").render_as_string(hide_password=False).replace("PLACE", pattern)


def owned(owners: Mapping[int, str] | str) -> list[Item]:
    """Three items, whose ids are the same for everybody."""
    names = dict.fromkeys((1, 2, 3), owners) if isinstance(owners, str) else owners
    return [Item(id=number, owner=owner, amount=0) for number, owner in names.items()]
