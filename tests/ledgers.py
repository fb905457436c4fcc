"""Databases whose commits can be made to fail: by a constraint that is checked at COMMIT, on SQLite and PostgreSQL."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, ForeignKeyConstraint, Integer, MetaData, Table, insert

from manybase import Database, Databases, Session
from tests.sessions import committed
from tests.shop import FAST

NAMES = ("first", "second", "third")


def tables(metadata: MetaData) -> tuple[Table, Table]:
    accounts = Table("accounts", metadata, Column("id", Integer, primary_key=True))
    entries = Table("entries", metadata, Column("id", Integer, primary_key=True), Column("account_id", Integer))
    key = ForeignKeyConstraint([entries.c.account_id], [accounts.c.id], deferrable=True, initially="DEFERRED")
    entries.append_constraint(key)
    key.ddl_if(callable_=lambda *_, dialect, **__: dialect.name not in ("mysql", "mariadb"))  # which cannot defer
    return accounts, entries


METADATA = {name: MetaData() for name in NAMES}
ENTRIES = {name: tables(METADATA[name])[1] for name in NAMES}


def ledgers(urls: Mapping[str, str | URL], **options: Any) -> Databases:
    """Databases at these URLs, in this order, each with `accounts` and the `entries` that point at them."""
    declared = [
        Database(name, url, models=METADATA[name], engine_options=engine_options(url)) for name, url in urls.items()
    ]
    return Databases(*declared, **options)


def in_files(folder: Path) -> Databases:
    """Three of them as SQLite files."""
    return ledgers({name: f"sqlite:///{folder / name}.db" for name in NAMES})


def engine_options(url: str | URL) -> dict[str, Any]:
    events = [(enforce_foreign_keys, "connect"), *FAST["pool_events"]]
    return {"pool_events": events} if str(url).startswith("sqlite") else {}


def enforce_foreign_keys(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def write(session: Session, *names: str) -> None:
    """One row in each of these databases, in this order."""
    for name in names:
        session.execute(insert(ENTRIES[name]).values(account_id=None))


def write_what_cannot_be_committed(session: Session, name: str) -> None:
    session.execute(insert(ENTRIES[name]).values(account_id=99))


def rows(session: Session) -> dict[str, int]:
    """How many entries are committed, for each database."""
    return {name: committed(session, name, "entries") for name in session.databases.names}
