"""The public "virtual session" demo in its shape: users in one database, orders in another, one session for both.

There, a class of its own passes query, add, commit and close on to one of two sessions, by the model's base class.
Here, the session is manybase's, and nothing else of the application changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Column, Engine, Integer, StaticPool, String, create_engine
from sqlalchemy.orm import DeclarativeBase, sessionmaker

from manybase import Database, Databases, Session


class UserBase(DeclarativeBase): ...


class OrderBase(DeclarativeBase): ...


class User(UserBase):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String, index=True)


class Order(OrderBase):
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)
    item = Column(String, index=True)
    quantity = Column(Integer)


def get_session() -> Iterator[Session]:
    raise NotImplementedError("each test brings its own databases")
    yield


app = FastAPI()


@app.get("/users")
def read_users(session: Annotated[Session, Depends(get_session)]) -> list[dict[str, Any]]:
    return [{"name": user.name} for user in session.query(User).order_by(User.id).all()]


@app.get("/orders")
def read_orders(session: Annotated[Session, Depends(get_session)]) -> list[dict[str, Any]]:
    return [{"item": order.item, "quantity": order.quantity} for order in session.query(Order).order_by(Order.id)]


def memory() -> Engine:
    return create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)


@pytest.fixture
def session() -> Iterator[Session]:
    users, orders = memory(), memory()
    databases = Databases(
        Database("users", engine=users, models=UserBase), Database("orders", engine=orders, models=OrderBase)
    )
    databases.create_all()
    with sessionmaker(class_=Session, databases=databases, autoflush=False)() as session:
        for number in range(10):
            session.add(User(name=f"user {number}"))
            session.add(Order(item=f"item {number}", quantity=number))
        session.commit()
        yield session
    users.dispose()
    orders.dispose()


@pytest.fixture
def client(session: Session) -> Iterator[TestClient]:
    app.dependency_overrides[get_session] = lambda: session
    with TestClient(app) as client:
        yield client


def test_users_come_from_their_database(client: TestClient) -> None:
    """The first endpoint answers all users."""
    answer = client.get("/users")

    assert (200, 10) == (answer.status_code, len(answer.json()))
    assert {"name": "user 0"} == answer.json()[0]


def test_orders_come_from_theirs(client: TestClient) -> None:
    """The second endpoint answers all orders, through the same session."""
    answer = client.get("/orders")

    assert (200, 10) == (answer.status_code, len(answer.json()))
    assert {"item": "item 9", "quantity": 9} == answer.json()[9]
