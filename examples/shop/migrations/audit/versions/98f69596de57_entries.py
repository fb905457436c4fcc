"""Entries of the audit log

Revision ID: 98f69596de57
Revises:
Create Date: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op

revision = "98f69596de57"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("action", sa.String(120), nullable=False),
        sa.Column("outcome", sa.String(120), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("audit_entries")
