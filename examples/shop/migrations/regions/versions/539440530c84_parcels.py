"""Parcels, in each region

Revision ID: 539440530c84
Revises:
Create Date: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op

revision = "539440530c84"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "parcels",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("city", sa.String(80), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("parcels")
