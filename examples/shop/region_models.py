"""The parcels of a region. The databases ``eu`` and ``us`` each hold such a table.

A plain SQLAlchemy base: nobody has to inherit from manybase.
"""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class RegionBase(DeclarativeBase):
    """The base of what each region holds."""


class Parcel(RegionBase):
    __tablename__ = "parcels"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(String(80))
