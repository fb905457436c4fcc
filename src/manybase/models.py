"""Model: an optional declarative base. cross_key: a key into another database."""

from __future__ import annotations

import re
import sys
from typing import Any, ClassVar

from sqlalchemy import Column, ForeignKey, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, MappedColumn
from sqlalchemy.types import NullType


class Model(DeclarativeBase):
    """A declarative base for many databases: ``class ShopBase(Model, database="shop")``, then ``class User(ShopBase)``.

    Such a base is abstract as long as it has no columns of its own, and has its own ``MetaData``. All share one
    registry, so string names in relationships resolve across databases. ``__tablename__`` is the class name in
    snake_case unless one is given; single-table inheritance keeps its parent's table. Nobody has to inherit from this
    class: plain ``DeclarativeBase``, ``MappedAsDataclass`` and SQLModel models work as they are.
    """

    # Classes that name their database themselves share its MetaData, so their string foreign keys resolve.
    shared_metadata: ClassVar[dict[str, MetaData]] = {}

    def __init_subclass__(cls, *, database: str | None = None, **options: Any) -> None:
        if database is not None and not has_columns(cls):
            cls.metadata = MetaData(info={"database": database})
            cls.__abstract__ = True
        elif database is not None:
            cls.metadata = Model.shared_metadata.setdefault(database, MetaData(info={"database": database}))
        if wants_tablename(cls):
            cls.__tablename__ = snake_case(cls.__name__)
        super().__init_subclass__(**options)


def cross_key(target: InstrumentedAttribute[Any] | Column[Any], **options: Any) -> ForeignKey:
    """A foreign key into another database: relationships and joins infer from it, DDL never shows it.

    Use it where ``ForeignKey`` stands: ``user_id: Mapped[int] = mapped_column(cross_key(User.id))``. The target is the
    attribute or column itself, for a string could not be found in the other database's ``MetaData``. No server checks
    such a key: a row may point at nothing. ``options`` go to ``ForeignKey``.
    """
    if isinstance(target, str):
        raise TypeError(f"cross_key takes the attribute itself, cross_key(User.id), not the string {target!r}.")
    key = ForeignKey(target, **options)
    key.info["cross_database"] = True
    column_of_target = key.column

    # propagate: declarative copies columns and keys, and the copies must behave alike.
    @event.listens_for(key, "after_parent_attach", propagate=True)
    def when_on_column(key: ForeignKey, column: Column[Any]) -> None:
        def when_on_table(column: Column[Any], table: object) -> None:
            # A copy knows its target by name only, and this MetaData lacks it: set the memoized attribute ourselves.
            vars(key)["column"] = column_of_target
            if isinstance(column.type, NullType):
                column.type = column_of_target.type
            if isinstance(table, Table) and key.constraint is not None:
                key.constraint.ddl_if(callable_=lambda *_, **__: False)
                key.constraint.info["cross_database"] = True

        event.listen(column, "after_parent_attach", when_on_table)  # after SQLAlchemy's own, which makes the constraint

    return key


def wants_tablename(cls: type[Model]) -> bool:
    if vars(cls).get("__abstract__"):
        return False
    for base in cls.__mro__:
        if base is Model:
            return True
        if "__table__" in vars(base) and base is not cls:
            return has_primary_key(cls)  # a mapped parent: joined inheritance brings a key, single-table does not
        if "__tablename__" in vars(base) or "__table__" in vars(base):
            return False
    return True


def has_primary_key(cls: type) -> bool:
    columns = [v.column if isinstance(v, MappedColumn) else v for v in vars(cls).values()]
    return any(isinstance(column, Column) and column.primary_key for column in columns)


def has_columns(cls: type) -> bool:
    if "__tablename__" in vars(cls) or "__table__" in vars(cls):
        return True
    if any(isinstance(value, (Column, MappedColumn)) for value in vars(cls).values()):
        return True
    return any("Mapped[" in annotation for annotation in annotations_of(cls))


def annotations_of(cls: type) -> list[str]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return list(get_annotations(cls, format=Format.STRING).values())
    return [str(annotation) for annotation in vars(cls).get("__annotations__", {}).values()]


def snake_case(name: str) -> str:
    """``HTTPLog`` -> ``http_log``, ``OrderItem`` -> ``order_item``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
