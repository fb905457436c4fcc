"""Orders and events

Revision ID: 1f25ab72bb44
Revises:
Create Date: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op

revision = "1f25ab72bb44"
down_revision = None


def upgrade() -> None:
    # user_id and product_id are keys into another database: no server knows of them.
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, nullable=False, index=True),
        sa.Column("product_id", sa.Integer, nullable=False, index=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("total_cents", sa.Integer, nullable=False),
        sa.Column("placed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, nullable=False, index=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("happened_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("orders")
