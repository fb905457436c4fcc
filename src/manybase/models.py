"""Model: an optional declarative base. cross_key: a key into another database."""

from __future__ import annotations

import re
import sys
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from sqlalchemy import Column, ForeignKey, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, MappedColumn, registry

from manybase.errors import ConfigurationError

CLASS_NAMES: WeakValueDictionary[str, Any] = WeakValueDictionary()


class Model(DeclarativeBase):
    """A declarative base for many databases: ``class ShopBase(Model, database="shop")``, then ``class User(ShopBase)``.

    Such a base is abstract as long as it has no columns of its own, and has its own ``MetaData``. All share their
    class names, so strings in relationships resolve across databases. ``__tablename__`` is the class name in
    snake_case unless one is given; a child of a mapped class gets a table of its own if its body has a primary key,
    and else shares its parent's. Nobody has to inherit from this class: plain ``DeclarativeBase``,
    ``MappedAsDataclass`` and SQLModel models work as they are.
    """

    registry = registry(class_registry=CLASS_NAMES)

    # Classes that name their database themselves share its MetaData, so their string foreign keys resolve.
    shared_metadata: ClassVar[dict[str, MetaData]] = {}

    def __init_subclass__(cls, *, database: str | None = None, **options: Any) -> None:
        if database is not None and not has_columns(cls):
            cls.metadata = metadata_for(cls, database)
            cls.__abstract__ = True
        elif database is not None:
            cls.metadata = Model.shared_metadata.setdefault(database, MetaData(info={"database": database}))
        if "type_annotation_map" in vars(cls):
            use_own_types(cls)
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

    # propagate: declarative copies keys and to_metadata() copies constraints; the copies must behave alike.
    @event.listens_for(key, "before_parent_attach", propagate=True)
    def when_attaching(key: ForeignKey, _: Column[Any]) -> None:
        point_at(column_of_target, key)

    @event.listens_for(key, "after_parent_attach", propagate=True)
    def when_on_column(key: ForeignKey, column: Column[Any]) -> None:
        def keep_out_of_ddl(_: Column[Any], table: object) -> None:
            if isinstance(table, Table) and key.constraint is not None:
                key.constraint.ddl_if(callable_=never)
                key.constraint.info["cross_database"] = True

        event.listen(column, "after_parent_attach", keep_out_of_ddl)  # after SQLAlchemy's own makes the constraint
        keep_out_of_ddl(column, column.table)  # a copied constraint comes to a column that has its table

    return key


def point_at(target: Column[Any], key: ForeignKey) -> None:
    # Private: ForeignKey._table_column (SQLAlchemy 2.0 and 2.1) and ForeignKey._colspec (2.0), the target as a Column.
    # A copied key has a string instead, which would find no table, or a table of that name in the wrong database. There
    # is no public way to give a copy its target. test_cross_key.py fails when this changes.
    vars(key).update(_table_column=target, _colspec=target)


def never(*_: Any, **__: Any) -> bool:
    return False


def metadata_for(cls: type[Model], database: str) -> MetaData:
    """A base's own ``MetaData``: the one in its body, which may bring a naming convention or a schema, or a new one."""
    metadata: MetaData = vars(cls).get("metadata") or MetaData()
    if metadata.info.setdefault("database", database) != database:
        raise ConfigurationError(
            f"{cls.__name__}: its MetaData belongs to database {metadata.info['database']!r} already, {database!r} "
            "needs one of its own."
        )
    return metadata


def use_own_types(cls: type[Model]) -> None:
    """SQLAlchemy reads ``type_annotation_map`` from a registry: this base gets one, with the class names of all."""
    # Private: DeclarativeBase._sa_registry (SQLAlchemy 2.0 and 2.1), which subclasses are mapped with. SQLAlchemy makes
    # a registry for direct subclasses of DeclarativeBase only. test_models.py fails when this changes.
    types = vars(cls)["type_annotation_map"]
    own = registry(metadata=cls.metadata, class_registry=CLASS_NAMES, type_annotation_map=types)
    cls.registry = cls._sa_registry = own


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
