"""Data: the rows of the cross-database tests, few of everything that goes wrong in joins, the same in each run."""

import random
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

from tests.federation.models import (
    Animal,
    Base,
    Color,
    Dog,
    Event,
    Kind,
    Maker,
    Payment,
    Product,
    Stock,
    Tag,
    User,
    user_tags,
)

Rows = dict[Table, list[dict[str, Any]]]
T = TypeVar("T")

SEED = 7
KEYS_INTO = {Payment.__table__: "event_id", user_tags: "user_id"}
WITHOUT_EVENTS = {13, 27, 44, 60}
NAMES = ["Ann", "ann", "Bob", "Éva", "Zoë", "日本", "O'Neil", "100%", "a_b", "smile 😀"]
LABELS = ["buy", "Buy", "buy ", "BUY", "see", "Sée", "", None]
NOTES = [None, None, "Hello", "hello w", "100%", "", "é", "E", "tail "]


class Chance(random.Random):
    """Random values with a share of NULLs."""

    def sometimes(self, value: T, share: float = 0.9) -> T | None:
        return value if self.random() < share else None

    def decimal(self, top: int, scale: int) -> Decimal:
        return Decimal(self.randrange(top)).scaleb(-scale)

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.getrandbits(128), version=4)


def rows(seed: int = SEED) -> Rows:
    """The rows of every table; another seed gives other rows, and fewer."""
    chance = Chance(seed)
    every = {
        User.__table__: [user(number, chance) for number in range(1, 61)],
        Tag.__table__: [{"id": n, "label": f"tag {n}"} for n in range(1, 6)],
        user_tags: [{"user_id": n, "tag_id": t} for n in range(1, 31) for t in sorted(chance.sample(range(1, 6), 2))],
        Kind.__table__: [
            {"a": a, "b": b, "title": f"{a}{b}{chance.randrange(3)}", "worth": chance.decimal(10**36, 10)}
            for a in (1, 2, 4)
            for b in ("x", "y")
        ],
        Event.__table__: [event(number, chance) for number in range(1, 301)],
        Payment.__table__: [payment(number, chance) for number in range(1, 81)],
        Animal.__table__: [
            {"id": n, "species": "dog" if n % 2 else "animal", "owner_id": chance.randrange(1, 66)}
            for n in range(1, 25)
        ],
        Dog.__table__: [{"id": n, "bark": "w" * chance.randrange(1, 9)} for n in range(1, 25, 2)],
        Maker.__table__: [
            {"id": n, "name": f"Maker {n % 3}", "country": chance.choice(["NZ", "AU", "DE", None])} for n in range(1, 9)
        ],
        Product.__table__: [product(number, chance) for number in range(1, 41)],
        Stock.__table__: [
            {"product_id": n, "country": c, "pieces": chance.randrange(50)}
            for n in range(1, 31)
            for c in ("AU", "NZ", "US")
            if chance.random() < 0.6
        ],
    }
    return every if seed == SEED else fewer(every, chance)


def fewer(every: Rows, chance: Chance) -> Rows:
    """Without some of the rows that no foreign key points at."""
    paid, tagged = ({row[key] for row in every[table]} for table, key in KEYS_INTO.items())
    for table, kept in ((Event.__table__, paid), (User.__table__, tagged)):
        every[table] = [row for row in every[table] if row["id"] in kept or chance.random() < 0.7]
    return every


def user(number: int, chance: Chance) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"{chance.choice(NAMES)}{number % 5}",
        "nick": chance.choice(["ann", "Ann", "ann ", "ANN", "bob", "", None]),
        "country": chance.choice(["NZ", "NZ", "AU", "US", "DE", None]),
        "uid": chance.uuid(),
        "color": chance.choice([*Color, None]),
        "balance": chance.sometimes(chance.decimal(10_000, 2)),
        "score": chance.sometimes(chance.randrange(800) / 8),
        "meta": chance.sometimes({"k": number, "list": [1, {"x": number % 3}], "word": "wörd"}),
        "joined": datetime(2024, 1, 1) + timedelta(hours=chance.randrange(9_000), microseconds=number * 7),
        "seen": chance.sometimes(datetime(2024, 2, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(90_000))),
        "born": date(1990, 1, 1) + timedelta(days=chance.randrange(4_000)),
        "active": chance.choice([True, False, None]),
        "boss_id": number // 3 or None,
        "code": chance.choice(["A", "B", "C", None]),
        "token": chance.sometimes(uuid.UUID(int=number)),
    }


def event(number: int, chance: Chance) -> dict[str, Any]:
    owner = chance.choice([n for n in range(1, 71) if n not in WITHOUT_EVENTS])  # users end at 60
    return {
        "id": number,
        "user_id": chance.sometimes(owner),
        "product_id": chance.sometimes(chance.randrange(1, 45)),  # products end at 40
        "kind": chance.choice(["buy", "buy", "see", "Buy", "käse"]),
        "label": chance.choice(LABELS),
        "amount": chance.sometimes(chance.decimal(100_000, 4)),
        "quantity": chance.randrange(-3, 12),
        "weight": chance.sometimes(chance.randrange(-80, 800) / 8),
        "at": datetime(2024, 6, 1) + timedelta(minutes=number * 13 % 3001, microseconds=chance.randrange(1_000_000)),
        "seen": chance.sometimes(datetime(2024, 6, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(90_000))),
        "ref": chance.uuid(),
        "payload": chance.sometimes({"n": number, "t": chance.choice(["a", "b"]), "deep": {"flag": number % 2 == 0}}),
        "kind_a": chance.choice([1, 2, 3, None]),
        "kind_b": chance.choice(["x", "y", None]),
        "code": chance.choice(["A", "B", "C", None]),
        "token": chance.sometimes(uuid.UUID(int=chance.randrange(1, 90))),
        "note": chance.choice(NOTES),
        "text": chance.sometimes("lorem " * chance.randrange(20)),
        "day": date(2024, 6, 1) + timedelta(days=chance.randrange(40)),
        "color": chance.choice([*Color, None]),
        "took": chance.sometimes(timedelta(seconds=chance.randrange(200_000))),
        "blob": bytes([number % 256, 0, 255, chance.randrange(256)]),
    }


def payment(number: int, chance: Chance) -> dict[str, Any]:
    card = chance.random() < 0.5
    return {
        "id": number,
        "means": "card" if card else "cash",
        "event_id": chance.randrange(1, 301),
        "user_id": chance.sometimes(chance.randrange(1, 65)),
        "total": chance.decimal(10**9, 4),
        "digits": f"{number:04}" if card else None,
    }


def product(number: int, chance: Chance) -> dict[str, Any]:
    return {
        "id": number,
        "maker_id": chance.sometimes(chance.randrange(1, 9)),
        "name": f"product {number % 17}",
        "category": chance.choice(["tea", "Tea", "cup", "käse", None]),
        "price": chance.decimal(10_000, 2),
        "since": date(2024, 6, 1) + timedelta(days=chance.randrange(40)),
    }


def fill(connection: Connection, tables: Iterable[Table], seed: int = SEED) -> None:
    """Insert the rows of these tables, those that others point at first."""
    wanted, every = set(tables), rows(seed)
    for table in Base.metadata.sorted_tables:
        if table in wanted and table in every:
            connection.execute(table.insert(), every[table])
