"""Reading: several databases in one request, each asked what it knows."""

from __future__ import annotations  # Select[str, int] is for SQLAlchemy 2.1

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import Select, func, select
from sqlalchemy.orm import selectinload

from examples.shop.analytics_models import Event, Order
from examples.shop.audit_models import AuditEntry
from examples.shop.csv_lines import csv_lines
from examples.shop.schemas import AuditRow, Buyer, Dashboard, EventRow, ProductRevenue
from examples.shop.sessions import AnalyticsDep, AuditDep, SessionDep, StreamDep
from examples.shop.shop_models import Product, User

router = APIRouter(tags=["reports"])


@router.get("/dashboard")
async def show_dashboard(session: SessionDep) -> Dashboard:
    """Figures from `shop`, `analytics` and `audit`, through one session."""

    async def count(model: type[object]) -> int:
        return await session.scalar(select(func.count()).select_from(model)) or 0

    return Dashboard(
        users=await count(User),
        products=await count(Product),
        orders=await count(Order),
        events=await count(Event),
        revenue_cents=await session.scalar(select(func.coalesce(func.sum(Order.total_cents), 0))) or 0,
        audit_entries=await count(AuditEntry),
    )


@router.get("/reports/revenue")
async def report_revenue(session: SessionDep) -> list[ProductRevenue]:
    """`analytics` adds up, `shop` knows the names: two statements, combined by key."""
    revenue = func.sum(Order.total_cents)
    best = select(Order.product_id, func.sum(Order.quantity), revenue).group_by(Order.product_id)
    sold = (await session.execute(best.order_by(revenue.desc(), Order.product_id).limit(10))).all()
    named = select(Product).where(Product.id.in_([product_id for product_id, _, _ in sold]))
    names = {product.id: product.name for product in await session.scalars(named)}
    return [
        ProductRevenue(product=names.get(product_id, f"product {product_id}"), sold=quantity, revenue_cents=cents)
        for product_id, quantity, cents in sold
    ]


@router.get("/reports/buyers")
async def report_buyers(session: SessionDep) -> list[Buyer]:
    """Users of `shop` with their orders of `analytics`: one statement, a join over two databases."""
    best = await session.execute(best_buyers())
    return [Buyer(name=name, orders=orders, spent_cents=cents) for name, orders, cents in best]


@router.get("/reports/buyers/explain")
async def explain_buyers(session: SessionDep) -> dict[str, Any]:
    """How that join is done, and what it takes. A program of yours would show this to few."""
    explanation = await session.explain(best_buyers(), analyze=True)
    return {"text": str(explanation), **explanation.to_dict()}


def best_buyers() -> Select[str, int, int]:
    spent = func.sum(Order.total_cents)
    joined = select(User.name, func.count(Order.id), spent).join(Order, Order.user_id == User.id)
    return joined.group_by(User.id, User.name).order_by(spent.desc(), User.id).limit(10)


@router.get("/events", response_model=list[EventRow])
async def list_events(analytics: AnalyticsDep) -> Sequence[Event]:
    """The latest events, through a session that may touch `analytics` only."""
    return (await analytics.scalars(select(Event).order_by(Event.id.desc()).limit(20))).all()


@router.get("/audit", response_model=list[AuditRow])
async def list_audit_entries(audit: AuditDep) -> Sequence[AuditEntry]:
    """The latest requests that wrote something, and how each ended."""
    return (await audit.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(20))).all()


@router.get("/exports/orders.csv", response_class=StreamingResponse)
async def export_orders(session: StreamDep) -> StreamingResponse:
    """All orders as CSV, streamed in batches: rows from `analytics`, names from `shop`."""
    with_names = selectinload(Order.user), selectinload(Order.product)
    statement = select(Order).options(*with_names).order_by(Order.id).execution_options(yield_per=200)
    orders = await session.stream_scalars(statement)
    lines = csv_lines(("order", "user", "product", "quantity", "total_cents"), (cells(order) async for order in orders))
    disposition = {"Content-Disposition": 'attachment; filename="orders.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=disposition)


def cells(order: Order) -> tuple[object, ...]:
    user, product = order.user, order.product
    return order.id, user and user.name, product and product.name, order.quantity, order.total_cents
