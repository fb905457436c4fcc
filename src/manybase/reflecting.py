"""Reflecting: a dialect that the engines of many databases share tells of the one that is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from typing import Any

from sqlalchemy import Connection, Dialect

asked: ContextVar[str | None] = ContextVar("manybase_asked", default=None)


def reflect_each(dialect: Any) -> None:
    """Have a dialect look for tables in the database of each connection.

    In MySQL a database is a schema. A dialect keeps the name of the one that it connected to first, and would look
    there for the tables of all tenants.
    """
    if dialect.name not in ("mysql", "mariadb"):
        return
    cls = type(dialect)
    methods = {name: asking(getattr(cls, name)) for name in dir(Dialect) if is_question(cls, name)}
    facts = {
        **methods,
        "default_schema_name": property(get_schema, set_schema),
        "supports_statement_cache": vars(cls).get("supports_statement_cache"),  # looked for in each class itself
    }
    dialect.__class__ = type(cls.__name__, (cls,), facts)


def is_question(cls: type, name: str) -> bool:
    """Whether it is a method that gets a connection and asks it for what is in the database."""
    if not name.startswith(("get_", "has_")) or not callable(getattr(cls, name, None)):
        return False
    return [*signature(getattr(cls, name)).parameters][:2] == ["self", "connection"]


def asking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def ask(self: Any, connection: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(connection, Connection):
            return method(self, connection, *arguments, **options)
        token = asked.set(connection.engine.url.database)
        try:
            return method(self, connection, *arguments, **options)
        finally:
            asked.reset(token)

    return ask


def get_schema(_: Any) -> str | None:
    """None where no connection says which: SQLAlchemy then refuses ``schema_translate_map={...: None}``."""
    return asked.get()


def set_schema(_: Any, name: str | None) -> None:
    """What the first connection said is true for its tenant only."""
