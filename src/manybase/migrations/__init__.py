"""Migrations: every declared database brought to its head, on Alembic, several at a time."""
