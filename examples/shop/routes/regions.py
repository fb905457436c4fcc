"""A region chosen per request: the same models in two databases."""

from collections.abc import Sequence

from fastapi import APIRouter
from sqlalchemy import select

from examples.shop.region_models import Parcel
from examples.shop.schemas import NewParcel, ParcelRow
from examples.shop.sessions import RegionDep

router = APIRouter(prefix="/regions/{region}", tags=["regions"])


@router.get("/parcels", response_model=list[ParcelRow])
async def list_parcels(session: RegionDep) -> Sequence[Parcel]:
    """The parcels of one region: try `eu`, `us`, and `audit`, which is a database but not a region."""
    return (await session.scalars(select(Parcel).order_by(Parcel.id.desc()).limit(20))).all()


@router.post("/parcels", response_model=ParcelRow, status_code=201)
async def send_parcel(new: NewParcel, session: RegionDep) -> Parcel:
    """A parcel in the database of its region."""
    session.add(parcel := Parcel(city=new.city))
    await session.flush()
    return parcel
