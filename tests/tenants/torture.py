"""1,000 requests at once, of 500 tenants with the same primary keys: no row crosses, no connection too many.

    python -m tests.tenants.torture [--requests 1000] [--tenants 500] [--connections 30] [--engines 25]

A private PostgreSQL with a database for each tenant. Each request of a tenant writes and reads rows whose primary keys
are those of everybody, first in asyncio tasks, then in threads. The server's own view of its connections is sampled
all the time. Exits with 1 where anything is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import URL, create_engine, func, insert, select, text, update
from sqlalchemy.orm import Session as PlainSession

from manybase import AsyncSession, Database, Databases, Session
from manybase.tenant_engines import TenantEngine
from tests.servers.postgresql import PostgreSQL, start_private
from tests.tenants.customers import Crm, Item, at, owned

PREFIX = "torture_"
ACTIVE = text(
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname LIKE 'torture\\_%'"
)


@dataclass
class Outcome:
    """What was seen; ``crossed`` and ``errors`` must be empty."""

    waits: list[float] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    most: int = 0
    samples: int = 0
    seconds: float = 0.0
    left: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        return not (self.crossed or self.errors or self.left)


def prepare(server: PostgreSQL, tenants: list[str]) -> URL:
    """A database for each tenant, all copies of one; the URL of the server."""
    first = server.url(f"{PREFIX}template")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {PREFIX}template")
        engine = create_engine(first.set(drivername=server.driver))
        Crm.metadata.create_all(engine)
        with PlainSession(engine) as session:
            session.add_all(owned("nobody"))
            session.commit()
        engine.dispose()
        for tenant in tenants:
            connection.exec_driver_sql(f"CREATE DATABASE {PREFIX}{tenant} TEMPLATE {PREFIX}template STRATEGY file_copy")
    return first


def declare(url: URL, tenants: list[str], *, connections: int, engines: int) -> Databases:
    return Databases(
        Database("crm", at(url, f"{PREFIX}{{tenant}}"), models=Crm, tenants=frozenset(tenants)),
        max_connections=connections,
        max_tenant_engines=engines,
        pool_timeout=300,
        engine_options={"pool_size": 2, "max_overflow": 1},
    )


@contextmanager
def watched(server: PostgreSQL, outcome: Outcome) -> Iterator[None]:
    """Sample what the server says is connected."""
    over = threading.Event()

    def look() -> None:
        with server.connect() as connection:
            while not over.wait(0.002):
                outcome.most = max(outcome.most, connection.scalar(ACTIVE) or 0)
                outcome.samples += 1

    thread = threading.Thread(target=look)
    thread.start()
    started = time.perf_counter()
    try:
        yield
    finally:
        outcome.seconds = time.perf_counter() - started
        over.set()
        thread.join()


def request(session: Session, tenant: str, outcome: Outcome) -> None:
    """What one request does, and what it must see."""
    started = time.perf_counter()
    session.connection(bind_arguments={"database": "crm"})
    outcome.waits.append(time.perf_counter() - started)
    session.execute(update(Item).where(Item.owner == "nobody").values(owner=tenant))
    session.execute(update(Item).where(Item.id == 1).values(amount=Item.amount + 1))
    rows = session.execute(select(Item, func.current_database())).all()
    seen = {(item.owner, place) for item, place in rows}
    if seen != {(tenant, f"{PREFIX}{tenant}")} or len(rows) != 3:
        outcome.crossed.append(f"{tenant} saw {seen}")
    session.commit()
    session.execute(insert(Item), [{"id": 1_000 + len(outcome.waits), "owner": tenant}])
    session.rollback()


async def in_tasks(databases: Databases, asked: list[str], outcome: Outcome) -> None:
    async def one(tenant: str) -> None:
        try:
            async with AsyncSession(databases, tenant=tenant) as session:
                await session.run_sync(request, tenant, outcome)
        except Exception as error:
            outcome.errors.append(error)

    await asyncio.gather(*map(one, asked))
    outcome.left += [f"held: {databases.usage()}"] if databases.usage().in_use else []
    await databases.adispose()


def in_threads(databases: Databases, asked: list[str], outcome: Outcome) -> None:
    def one(tenant: str) -> None:
        try:
            with Session(databases, tenant=tenant) as session:
                request(session, tenant, outcome)
        except Exception as error:
            outcome.errors.append(error)

    threads = [threading.Thread(target=one, args=(tenant,)) for tenant in asked]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    outcome.left += [f"held: {databases.usage()}"] if databases.usage().in_use else []
    databases.dispose()


def examine(server: PostgreSQL, databases: Databases, threads: int, others: set[int], outcome: Outcome) -> None:
    """Whether anything is left after the databases were disposed; ``others`` are engines that were there before."""
    gc.collect()
    usage, budget = databases.usage(), databases.budget
    engines = engines_alive() - others
    until = time.monotonic() + 5
    with server.connect() as connection:
        while (active := connection.scalar(ACTIVE)) and time.monotonic() < until:
            time.sleep(0.02)
    assert budget is not None
    facts = {
        "engines": len(engines) + usage.engines,
        "threads": max(0, threading.active_count() - threads),  # some of others may have ended meanwhile
        "connections on the server": active,
        "connections counted": usage.connections,
        "rights held": budget.in_use,
        "waiting": usage.waiting,
    }
    outcome.left += [f"{what}: {number}" for what, number in facts.items() if number]


def engines_alive() -> set[int]:
    return {id(each) for each in gc.get_objects() if isinstance(each, TenantEngine)}


def check_totals(server: PostgreSQL, asked: list[str], rounds: int, outcome: Outcome) -> None:
    """Each tenant has as many requests as were made, asked past everything of ours."""
    for tenant, count in Counter(asked).items():
        with server.connect(f"{PREFIX}{tenant}") as connection:
            rows = connection.exec_driver_sql("SELECT id, owner, amount FROM items ORDER BY id").all()
        wanted = [(1, tenant, rounds * count), (2, tenant, 0), (3, tenant, 0)]
        if [tuple(row) for row in rows] != wanted:
            outcome.crossed.append(f"{tenant} has {rows}")


def torture(server: PostgreSQL, *, requests: int, tenants: int, connections: int, engines: int) -> dict[str, Outcome]:
    """What asyncio tasks have seen, and what threads have."""
    names = [f"t{number:04}" for number in range(tenants)]
    asked = [names[number * 7 % tenants] for number in range(requests)]
    url = prepare(server, names)
    outcomes: dict[str, Outcome] = {}
    for rounds, kind in enumerate(("tasks", "threads"), start=1):
        outcome = outcomes[kind] = Outcome()
        before, others = threading.active_count(), engines_alive()
        with watched(server, outcome):
            driver = "postgresql+asyncpg" if kind == "tasks" else "postgresql+psycopg"
            databases = declare(url.set(drivername=driver), names, connections=connections, engines=engines)
            if kind == "tasks":
                asyncio.run(in_tasks(databases, asked, outcome))
            else:
                in_threads(databases, asked, outcome)
        examine(server, databases, before, others, outcome)
        check_totals(server, asked, rounds, outcome)
        if outcome.most > connections:
            outcome.left.append(f"{outcome.most} connections at once, and {connections} are allowed")
        tell(kind, databases, outcome)
    return outcomes


def tell(kind: str, databases: Databases, outcome: Outcome) -> None:
    waits = sorted(outcome.waits) or [0.0]
    p99 = waits[int(len(waits) * 0.99)]
    print(
        f"{kind:8} {len(outcome.waits)} requests in {outcome.seconds:.1f} s; connected after p50 "
        f"{statistics.median(waits):.2f} s, p99 {p99:.2f} s; at most {outcome.most} connections in {outcome.samples} "
        f"samples of the server, {databases.max_connections} allowed; {databases.usage().evictions} evictions; "
        f"{len(outcome.crossed)} crossed, {len(outcome.errors)} errors, left: {', '.join(outcome.left) or 'nothing'}",
        flush=True,
    )
    for each in [*outcome.crossed[:3], *outcome.errors[:3]]:
        print(f"  {type(each).__name__}: {each}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--connections", type=int, default=30)
    parser.add_argument("--engines", type=int, default=25)
    given = vars(parser.parse_args())
    server = start_private()
    try:
        outcomes = torture(server, **given)
    finally:
        server.close()
    return 0 if all(each.fine for each in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
