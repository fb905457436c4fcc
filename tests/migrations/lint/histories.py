"""Histories of revisions, written for a test, and what the lint tells of them."""

from pathlib import Path
from typing import Any

import pytest
from alembic.script import Script, ScriptDirectory

from manybase.migrations.lint import Risk

Cases = list[tuple[str, tuple[str, ...], list[tuple[str, str]]]]

POSTGRESQL, MARIADB, MYSQL, SQLITE = EVERYWHERE = ("postgresql", "mariadb", "mysql", "sqlite")
SERVERS = (POSTGRESQL, MARIADB, MYSQL)
MYSQLS = (MARIADB, MYSQL)

USERS, EMAIL = "table users", "column users.email"

HEAD = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "r{number}"
down_revision = {down!r}
"""


def revisions(directory: Path, *upgrades: str, downgrade: str = "pass") -> list[Script]:
    """A history of revisions r0, r1, ... with these upgrades; the last of them with the downgrade."""
    for number, upgrade in enumerate(upgrades):
        head = HEAD.format(number=number, down=f"r{number - 1}" if number else None)
        functions = [("upgrade", upgrade), ("downgrade", downgrade)]
        bodies = [f"def {name}():\n    " + "\n    ".join(body.splitlines()) for name, body in functions]
        (directory / f"r{number}.py").write_text("\n\n".join([head, *bodies, ""]))
    scripts = ScriptDirectory(dir=str(directory), version_locations=[str(directory)])
    return list(reversed(list(scripts.walk_revisions())))


def told(found: list[Risk]) -> list[tuple[str, str]]:
    return [(risk.kind, risk.where) for risk in found]


def flat(cases: list[Any]) -> list[Any]:
    return [
        pytest.param(*case, dialect, expected, id="-".join([dialect, *case]))
        for *case, dialects, expected in cases
        for dialect in dialects
    ]
