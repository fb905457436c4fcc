"""Histories that a test writes: revisions of one table each."""

import sys
from pathlib import Path
from textwrap import dedent, indent

from sqlalchemy import URL, NullPool, create_engine, inspect

SYNC = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "sqlite": "sqlite"}

REVISION = '''"""{revision}"""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {after!r}


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
    op.drop_table({revision!r})
'''


def write_history(folder: Path, *revisions: str, before: str = "") -> None:
    """One revision after the other, each with a table of its name. ``before``: what each does first."""
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    for after, revision in zip([None, *revisions], revisions, strict=False):
        write_revision(folder, revision, f'{before}\nop.create_table({revision!r}, sa.Column("id", sa.Integer))', after)


def write_revision(folder: Path, revision: str, upgrade: str, after: str | None = None) -> None:
    body = indent(dedent(upgrade), "    ")
    text = REVISION.format(revision=revision, after=after, upgrade=body)
    (folder / "versions" / f"{revision}.py").write_text(text)


def tables_at(url: URL) -> list[str]:
    """The tables of a database, those of Alembic too, seen from outside."""
    engine = create_engine(url.set(drivername=SYNC[url.get_backend_name()]), poolclass=NullPool)
    with engine.connect() as connection:
        return sorted(inspect(connection).get_table_names())


def without_alembic(program: str, instead: str = "None") -> list[str]:
    """The command that runs a program where Alembic is not installed."""
    absent = f"import sys, types\nsys.modules['alembic'] = {instead}\n"
    return [sys.executable, "-W", "error", "-c", absent + dedent(program)]
