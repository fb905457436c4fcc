"""Tenant engines: many engines of one declaration, which share a dialect, compiled statements and events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from sqlalchemy import URL, Dialect, Engine, PoolProxiedConnection
from sqlalchemy.util import LRUCache

from manybase.connecting import Connect
from manybase.openings import taking_idle
from manybase.reflecting import reflect_each

STATEMENTS = 500  # compiled ones that all tenants of a database share, as many as one engine keeps otherwise
connecting: ContextVar[TenantEngine | None] = ContextVar("manybase_connecting", default=None)


class Template:
    """The engine that those of the tenants are like. It never connects itself."""

    def __init__(self, engine: Engine, connect_args: Mapping[str, Any]) -> None:
        self.engine = engine
        reflect_each(engine.dialect)
        self.connect_args = dict(connect_args)
        self.statements: Any = LRUCache(STATEMENTS)


class TenantEngine(Engine):
    """An engine with a pool of its own, and all else from a template.

    A pool that was recreated connects to where the first one did, so this says where to, whenever it connects.
    """

    def __init__(self, template: Template, url: URL) -> None:
        like: Any = template.engine
        super().__init__(
            like.pool.recreate(),
            like.dialect,
            url,
            logging_name=like.logging_name,
            echo=like.echo,
            hide_parameters=like.hide_parameters,
            execution_options={"compiled_cache": template.statements, **like.get_execution_options()},
        )
        self._template = template
        self.last_used = time.monotonic()  # when somebody last asked for it

    def raw_connection(self) -> PoolProxiedConnection:
        token = connecting.set(self)
        try:
            return super().raw_connection()
        finally:
            connecting.reset(token)

    def execution_options(self, **options: Any) -> Any:
        """As ``Engine.execution_options``: the same pool, thus the same place."""
        shared: Any = super().execution_options(**options)
        shared.raw_connection = self.raw_connection
        return shared

    def connect_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        arguments, options = self.dialect.create_connect_args(self.url)
        return list(arguments), {**options, **self._template.connect_args}


def leading_to_tenant(connect: Connect) -> Connect:
    """What connects to where the engine of a tenant leads."""

    def led(dialect: Dialect, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        engine = connecting.get()
        if engine is not None and engine.dialect is dialect:
            arguments[:], found = engine.connect_arguments()
            options.clear()
            options.update(found)
        elif not taking_idle.get():
            raise RuntimeError("A pool of tenants connects outside of its engine: it does not know which one.")
        return connect(dialect, record, arguments, options)

    return led
