"""Routing, looked at: where statements go and why, and what is refused."""

from fastapi import APIRouter
from sqlalchemy import Executable, select

from examples.shop.analytics_models import Event, Order
from examples.shop.audit_models import AuditEntry
from examples.shop.region_models import Parcel
from examples.shop.schemas import Destination, Refusal
from examples.shop.sessions import AnalyticsDep, SessionDep
from examples.shop.shop_models import Product, User
from manybase import AsyncSession, RoutingError, UnsupportedStatement

router = APIRouter(prefix="/routing", tags=["routing"])


@router.get("")
async def explain_routes(session: SessionDep) -> list[Destination]:
    """Where these statements would go, and why. Nothing runs."""
    buyers = select(Order.user_id).join(Event, Event.user_id == Order.user_id)
    return [
        where("select(User)", session, select(User)),
        where("select(Product)", session, select(Product)),
        where("select(Order).join(Event)", session, buyers),
        where("select(AuditEntry)", session, select(AuditEntry)),
        where("select(User).join(Order)", session, select(User).join(Order, Order.user_id == User.id)),
    ]


@router.get("/lock")
async def try_lock(session: SessionDep) -> Refusal:
    """A join over two databases that is to lock its rows: refused before any SQL runs, with what to do instead."""
    joined = select(User.name, Order.total_cents).join(Order, Order.user_id == User.id)
    return await refusal(session, joined.with_for_update())


@router.get("/pinned")
async def try_pinned(analytics: AnalyticsDep) -> Refusal:
    """A session for `analytics` that is asked for a user: refused, it belongs to `shop`."""
    return await refusal(analytics, select(User))


@router.get("/ambiguous")
async def try_ambiguous(session: SessionDep) -> Refusal:
    """Parcels exist in `eu` and in `us`: a session that was not told which one refuses to guess."""
    return await refusal(session, select(Parcel))


def where(text: str, session: AsyncSession, statement: Executable) -> Destination:
    route = session.route(statement)
    return Destination(statement=text, database=route.database, reason=route.reason)


async def refusal(session: AsyncSession, statement: Executable) -> Refusal:
    try:
        await session.execute(statement)
    except (RoutingError, UnsupportedStatement) as refused:
        return Refusal(error=type(refused).__name__, message=str(refused))
    raise AssertionError("This statement is expected to be refused.")
