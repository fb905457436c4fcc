"""The environment of a history that has no env.py of its own; Alembic runs this file for each database."""

from alembic import context

context.config.attributes["manybase"]()
