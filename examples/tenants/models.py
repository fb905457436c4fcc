"""What all customers share, in ``control``, and what each has for itself, in its part of ``notes``."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from manybase import Model, cross_key


class ControlBase(Model, database="control"):
    """The base of everything that all share."""


class Plan(ControlBase):
    __tablename__ = "plans"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    most_notes: Mapped[int]


class Customer(ControlBase):
    __tablename__ = "customers"

    # The name of the tenant. It stands in the name of a file, so databases.py says what it may look like.
    slug: Mapped[str] = mapped_column(String(30), primary_key=True)
    plan_name: Mapped[str] = mapped_column(ForeignKey(Plan.name))
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)  # of the token itself nothing is kept
    plan: Mapped[Plan] = relationship()


class NotesBase(Model, database="notes"):
    """The base of everything that is a customer's own."""


class Note(NotesBase):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(500))
    # The plan under which it was written: a key into the database that all share, which no server checks.
    plan_name: Mapped[str] = mapped_column(cross_key(Plan.name), index=True)
    plan: Mapped[Plan | None] = relationship()
