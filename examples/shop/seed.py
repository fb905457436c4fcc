"""First rows, for databases that hold none. Nothing that is there is ever changed."""

import asyncio
import sys

from sqlalchemy import inspect, select
from sqlalchemy.exc import DBAPIError

from examples.shop.analytics_models import Event, Order
from examples.shop.audit_models import AuditEntry
from examples.shop.databases import databases
from examples.shop.region_models import Parcel
from examples.shop.shop_models import Product, User
from manybase import ManybaseError, Session
from manybase.migrations import upgrade

PEOPLE = ("Ada Lovelace", "Grace Hopper", "Edgar Codd", "Barbara Liskov")
CATALOGUE = (("Green tea", 450, 500), ("Teapot", 2900, 200), ("Two cups", 1800, 300), ("Honey", 700, 400))
CITIES = {"eu": ("Lisbon", "Ghent", "Tallinn"), "us": ("Portland", "Austin")}


def create_and_seed() -> None:
    """All databases brought to the head of their history, and rows in those that are empty."""
    for name in databases.names:
        check(name)
    try:
        upgrade(databases)
    except ManybaseError as error:
        sys.exit(str(error))
    with Session(databases) as session, session.begin():
        models = (User, Product, Order, Event, AuditEntry)
        if all(session.scalar(select(model.id).limit(1)) is None for model in models):
            session.add_all(history())
    for region, cities in CITIES.items():
        with Session(databases, database=region) as session, session.begin():
            if session.scalar(select(Parcel.id).limit(1)) is None:
                session.add_all(Parcel(city=city) for city in cities)


def check(name: str) -> None:
    """The first contact with a database: what is wrong with its URL, its server or its tables is told here."""
    try:
        engine = databases.engine(name)  # some routes are sync, so the application needs a driver of each kind
        asyncio.run(connect(name))
        found = inspect(engine).get_table_names()
        databases.load()
        if "alembic_version" not in found and any(table.name in found for table in databases.tables(name)):
            sys.exit(
                f"Database {name!r} has tables, and no history of them: an earlier version of this demonstration made "
                "them. Start from scratch, without --keep and in another database if it is on a server."
            )
    except ManybaseError as error:
        sys.exit(str(error))
    except DBAPIError as error:
        sys.exit(f"Database {name!r} cannot be used: {error.orig}")


async def connect(name: str) -> None:
    try:
        async with databases.async_engine(name).connect():
            pass
    finally:
        await databases.adispose()


def history() -> list[User | Product | AuditEntry]:
    """Users with what they did: their orders and events follow them into another database by themselves."""
    products = [Product(name=name, price_cents=cents, stock=stock) for name, cents, stock in CATALOGUE]
    users = [User(name=name, email=f"{name.split()[0].lower()}@example.com") for name in PEOPLE]
    for number, user in enumerate(users):
        user.events.append(Event(kind="signed up"))
        for product in products[number:]:
            user.events.append(Event(kind="ordered"))
            quantity = number + 1
            user.orders.append(Order(product=product, quantity=quantity, total_cents=quantity * product.price_cents))
    return [*products, *users, AuditEntry(action="seed", outcome="committed")]
