"""Databases with tenants, examined: which part of one can be asked, and whether its server has enough connections."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from manybase.connecting import capacity
from manybase.doctor.findings import Finding
from manybase.engines import Databases, needs_tenant
from manybase.tenants import AT, has_own_url

CONNECTIONS = "connections"
FEWEST = 2  # processes: a release starts new ones before the old ones stop
ALLOWED = {
    "postgresql": (
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    ),
    "mysql": "SELECT @@max_connections",
    "mariadb": "SELECT @@max_connections",
}


def parts(databases: Databases, *, asyncio: bool) -> list[str]:
    """What there is to examine: each database, each shard, and of what is each tenant's own, that of one tenant."""
    return [part for name in databases.names for part in parts_of(databases, name, asyncio=asyncio)]


def parts_of(databases: Databases, name: str, *, asyncio: bool) -> list[str]:
    if name not in databases.tenants or not needs_tenant(databases[name]):
        return [name]
    if not has_own_url(databases[name]):
        return [f"{name}{AT}{shard}" for shard in databases[name].shards]
    samples: dict[str | None, str] = {}
    try:
        for tenant, shard in databases.tenants.names(name, databases, asyncio=asyncio):
            samples.setdefault(shard, databases.tenants.placed(name, tenant, shard).name)
    except Exception:  # nobody lists them, or nobody answers: then nothing can be asked
        return [name]
    return [*samples.values()] or [name]


def is_nobodys(databases: Databases, name: str) -> bool:
    """Whether there is nothing to connect to under this name."""
    return name in databases.tenants and needs_tenant(databases[name])


def unasked(name: str) -> Finding:
    message = "It has a part for each tenant, and no tenant can be listed: nothing was looked at."
    return Finding(name, "warn", "tenants", message)


def pools(databases: Databases, name: str) -> Iterator[Finding]:
    """Limits that contradict each other."""
    database, most = name.partition(AT)[0], databases.max_connections
    if database not in databases.tenants or most is None:
        return
    size = capacity(databases[database], databases.options_of(database))
    if size is None or size >= most:
        told = "has no limit" if size is None else f"holds {size} connections (pool_size + max_overflow)"
        yield Finding(
            name,
            "warn",
            CONNECTIONS,
            f"The pool of one engine {told}, and max_connections = {most} is for all of this process: one tenant can "
            "take them all. Give each engine a smaller pool in engine_options.",
        )


def connections(databases: Databases, name: str, connection: Connection) -> Iterator[Finding]:
    """Whether the server allows what the processes of this application may open."""
    database = name.partition(AT)[0]
    question = ALLOWED.get(connection.dialect.name)
    if question is None or (databases.max_connections is None and database not in databases.tenants):
        return
    allowed = int(connection.exec_driver_sql(question).scalar_one())
    most, why = most_of_process(databases, database)
    if most is None or most * FEWEST > allowed:
        opens = "any number of connections" if most is None else f"{most} connections"
        yield Finding(
            name,
            "warn",
            CONNECTIONS,
            f"Each process may open {opens} ({why}), and this server allows {allowed}. Processes times max_connections "
            f"of Databases(...) must stay below that: for {FEWEST} processes, at most {allowed // FEWEST}.",
        )
    else:
        yield Finding(
            name,
            "ok",
            CONNECTIONS,
            f"Each process opens {most} connections at most ({why}), and this server allows {allowed}: enough for "
            f"{allowed // most} processes.",
        )


def most_of_process(databases: Databases, database: str) -> tuple[int | None, str]:
    if databases.max_connections is not None:
        return databases.max_connections, "max_connections"
    size = capacity(databases[database], databases.options_of(database))
    if size is None:
        return None, "its pool has no limit"
    if has_own_url(databases[database]):
        return size * databases.max_tenant_engines, f"max_tenant_engines times {size} of each pool"
    return size, "its pool"
