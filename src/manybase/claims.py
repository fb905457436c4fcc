"""Claims: the tables and mapped classes that one entry of ``models=`` stands for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterator
from types import ModuleType
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import Mapper, class_mapper, registry
from sqlalchemy.orm.exc import UnmappedClassError

from manybase.database import shown
from manybase.errors import ConfigurationError


def check_model(database: str, model: Any) -> None:
    """Raise ``ConfigurationError`` unless ``model`` is something ``models=`` can take."""
    if isinstance(model, (Table, MetaData)) or (isinstance(model, str) and is_dotted(model)):
        return
    if isinstance(model, type) and (isinstance(getattr(model, "metadata", None), MetaData) or mapper_of(model)):
        return
    hint = f" Give its name: models={model.__name__!r}." if isinstance(model, ModuleType) else ""
    raise ConfigurationError(
        f"Database {database!r}: models= takes dotted modules such as 'shop.models', declarative bases, mapped "
        f"classes, Tables and MetaDatas, one or a list of them, not {shown(model)}.{hint}"
    )


def import_models(database: str, module: str) -> None:
    """Import a module named in ``models=``; ``ConfigurationError`` where there is none of that name."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, something it imports is not
        raise ConfigurationError(
            f"Database {database!r}: models={module!r} cannot be imported, there is no module {error.name!r}. "
            "Check the spelling, and that the program starts in the project's folder."
        ) from None


def claimed_mappers(model: Any, apart: Collection[type] = ()) -> Iterator[Mapper[Any]]:
    """The mapped classes an entry claims: defined in a module or below it, or subclasses of a class.

    ``apart`` are bases with a ``MetaData`` of their own that another entry names: what is below them is theirs.
    """
    if isinstance(model, str):
        for known in registries_in(model):
            yield from (mapper for mapper in known.mappers if is_below(model, mapper.class_.__module__))
    elif isinstance(model, type):
        for cls in (model, *subclasses(model, apart)):
            if (mapper := mapper_of(cls)) is not None:
                yield mapper


def claimed_tables(model: Any, apart: Collection[type] = ()) -> Iterator[Table]:
    """The tables an entry claims: those of its classes, and those of a ``MetaData`` it brings."""
    if isinstance(model, Table):
        yield model
    elif isinstance(model, MetaData):
        yield from model.tables.values()
    elif has_own_metadata(model):
        yield from model.metadata.tables.values()
    for mapper in claimed_mappers(model, apart):
        yield from own_tables(mapper)


def loose_tables(model: Any) -> Iterator[Table]:
    """Core tables that stand in a claimed module; a weaker claim, for such a table may have been imported."""
    if isinstance(model, str):
        for module in modules_below(model):
            yield from (value for value in list(vars(module).values()) if isinstance(value, Table))


def own_tables(mapper: Mapper[Any]) -> Iterator[Table]:
    """The tables a class brings, without those of a parent it joins."""
    inherited = set(mapper.inherits.tables) if mapper.inherits is not None and not mapper.single else set()
    yield from (table for table in mapper.tables if isinstance(table, Table) and table not in inherited)


def mapper_of(cls: type) -> Mapper[Any] | None:
    try:
        return class_mapper(cls, configure=False)
    except UnmappedClassError:
        return None


def has_own_metadata(model: Any) -> bool:
    return isinstance(model, type) and isinstance(vars(model).get("metadata"), MetaData)


def subclasses(cls: type[Any], apart: Collection[type] = ()) -> Iterator[type[Any]]:
    each: type[Any]
    for each in cls.__subclasses__():
        if each not in apart:
            yield each
            yield from subclasses(each, apart)


def registries_in(prefix: str) -> set[registry]:
    """The registries of the classes in a module: they also know the classes that are no attribute of it."""
    found = set()
    for module in modules_below(prefix):
        for value in list(vars(module).values()):
            if isinstance(value, type) and (mapper := mapper_of(value)) is not None:
                found.add(mapper.registry)
    return found


def modules_below(prefix: str) -> Iterator[Any]:
    yield from (module for name, module in list(sys.modules.items()) if is_below(prefix, name))


def is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def is_below(prefix: str, module: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")
