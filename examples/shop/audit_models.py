"""Who did what, and how it ended, in the database ``audit``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from examples.shop.clock import utc_now
from manybase import Model


class AuditBase(Model, database="audit"):
    """The base of everything in ``audit``."""


class AuditEntry(AuditBase):
    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(String(120))
    outcome: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime] = mapped_column(default=utc_now)
