"""Writing: one session, two databases, one commit."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import CursorResult, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.interfaces import ORMOption

from examples.shop.analytics_models import Event, Order
from examples.shop.auditing import Audited
from examples.shop.schemas import Id, NewOrder, NewUser, OrderRow, ProductRow, UserHistory, UserRow
from examples.shop.sessions import ReadDep, SessionDep, SyncSessionDep
from examples.shop.shop_models import Product, User
from manybase import AsyncSession

router = APIRouter(tags=["shopping"])
Found = TypeVar("Found", User, Product)


@router.get("/users", response_model=list[UserRow])
async def list_users(
    session: ReadDep,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Sequence[User]:
    """A page of users, in the order in which they came; from a replica of `shop`, where there is one."""
    return (await session.scalars(select(User).where(User.id > after).order_by(User.id).limit(limit))).all()


@router.get("/users/{user_id}", response_model=UserHistory)
async def show_user(user_id: Id, session: SessionDep) -> User:
    """A user of `shop`, with orders and events of `analytics`: relationships across databases."""
    return await found(session, User, user_id, selectinload(User.orders), selectinload(User.events))


@router.post("/users", response_model=UserRow, status_code=201, dependencies=[Audited])
async def sign_up(new: NewUser, session: SessionDep) -> User:
    """A user in `shop` and an event in `analytics`, written by one flush."""
    user = User(name=new.name, email=new.email, events=[Event(kind="signed up")])
    session.add(user)
    try:
        await session.flush()
    except IntegrityError:
        raise HTTPException(409, "This email address has signed up already.") from None
    return user


@router.get("/products", response_model=list[ProductRow])
def list_products(session: SyncSessionDep) -> Sequence[Product]:
    """The catalogue, from a `def` route: a sync session over the same databases."""
    return session.scalars(select(Product).order_by(Product.id).limit(100)).all()


@router.post("/orders", response_model=OrderRow, status_code=201, dependencies=[Audited])
async def place_order(new: NewOrder, session: SessionDep) -> Order:
    """Stock goes down in `shop`, the order and its event go to `analytics`: one session, one commit."""
    return await order(new, session)


@router.post("/orders/failing", status_code=402, dependencies=[Audited])
async def place_order_without_money(new: NewOrder, session: SessionDep) -> None:
    """The same writes, then the payment fails: nothing is kept in either database. `audit` keeps its row."""
    await order(new, session)
    raise HTTPException(402, "The payment was declined.")


async def order(new: NewOrder, session: AsyncSession) -> Order:
    """Writes both databases and flushes; whoever owns the session commits."""
    user = await found(session, User, new.user_id)
    product = await found(session, Product, new.product_id)
    await take_from_stock(session, product, new.quantity)
    placed = Order(user=user, product=product, quantity=new.quantity, total_cents=new.quantity * product.price_cents)
    session.add_all([placed, Event(user=user, kind="ordered")])
    await session.flush()
    return placed


async def take_from_stock(session: AsyncSession, product: Product, quantity: int) -> None:
    """One statement that looks and takes: two requests for the last cup cannot both get it."""
    enough = Product.id == product.id, Product.stock >= quantity
    taken = await session.execute(update(Product).where(*enough).values(stock=Product.stock - quantity))
    if cast("CursorResult[Any]", taken).rowcount == 0:
        raise HTTPException(409, f"Fewer than {quantity} of {product.name!r} are left.")


async def found(session: AsyncSession, model: type[Found], key: int, *options: ORMOption) -> Found:
    row = await session.get(model, key, options=options)
    if row is None:
        raise HTTPException(404, f"There is no {model.__name__.lower()} {key}.")
    return row
