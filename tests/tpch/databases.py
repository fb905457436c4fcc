"""The same data twice: spread over three databases, and all in one PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import DeclarativeBase

from manybase import Database, Databases
from tests.servers.server import Server
from tests.tpch.data import generate
from tests.tpch.loading import load, with_driver
from tests.tpch.models import BASES, Parts, Sales, Shipping


@dataclass(frozen=True)
class Loaded:
    """``native``: one PostgreSQL that has all tables."""

    databases: Databases
    native: Engine


@contextmanager
def loaded(postgresql: Server, mariadb: Server, folder: Path, scale: float) -> Iterator[Loaded]:
    """Databases filled with the data of a scale; they are dropped afterwards. ``folder`` holds files meanwhile."""
    sales, everything, shipping = postgresql.create_database(), postgresql.create_database(), mariadb.create_database()
    parts = URL.create("sqlite", database=str(folder / "parts.db"))
    try:
        generate(scale, folder)
        _load(folder, {sales: [Sales], shipping: [Shipping], parts: [Parts], everything: list(BASES)})
        with _opened(sales, shipping, parts, everything) as made:
            yield made
    finally:
        for url in (sales, everything):
            postgresql.drop_database(url)
        mariadb.drop_database(shipping)


@contextmanager
def loaded_natively(postgresql: Server, folder: Path, scale: float) -> Iterator[Engine]:
    """One PostgreSQL that has all tables, and no other database."""
    everything = postgresql.create_database()
    native = create_engine(with_driver(everything))
    try:
        load(generate(scale, folder), everything, *BASES)
        yield native
    finally:
        native.dispose()
        postgresql.drop_database(everything)


def _load(folder: Path, contents: dict[URL, list[type[DeclarativeBase]]]) -> None:
    with ThreadPoolExecutor(len(contents)) as executor:
        for done in [executor.submit(load, folder, url, *bases) for url, bases in contents.items()]:
            done.result()


@contextmanager
def _opened(sales: URL, shipping: URL, parts: URL, everything: URL) -> Iterator[Loaded]:
    databases = Databases(
        Database("sales", with_driver(sales), models=Sales),
        Database("shipping", with_driver(shipping), models=Shipping),
        Database("parts", with_driver(parts), models=Parts),
    )
    native = create_engine(with_driver(everything))
    try:
        yield Loaded(databases, native)
    finally:
        databases.dispose()
        native.dispose()
