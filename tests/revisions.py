"""Histories of revisions with one table each, and what has come of them."""

import sys
from pathlib import Path
from textwrap import dedent

from sqlalchemy import URL, NullPool, create_engine, inspect

from tests.migrations.revisions import write_revision

SYNC = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "sqlite": "sqlite"}

# For a revision that may run only where there is a database: looked at without one, it ends here.
IN_DATABASE = 'op.get_bind().execute(sa.text("SELECT 1")).one()'


def write_history(folder: Path, *revisions: str, before: str = "") -> None:
    """One revision after the other, each with a table of its name. ``before``: what each does first."""
    for after, revision in zip([None, *revisions], revisions, strict=False):
        upgrade = f'{before}\nop.create_table({revision!r}, sa.Column("id", sa.Integer))'
        write_revision(folder, revision, after, upgrade, f"op.drop_table({revision!r})")


def tables_at(url: URL) -> list[str]:
    """The tables of a database, those of Alembic too, seen from outside."""
    engine = create_engine(url.set(drivername=SYNC[url.get_backend_name()]), poolclass=NullPool)
    with engine.connect() as connection:
        return sorted(inspect(connection).get_table_names())


def without_alembic(program: str, instead: str = "None") -> list[str]:
    """The command that runs a program where Alembic is not installed."""
    absent = f"import sys, types\nsys.modules['alembic'] = {instead}\n"
    return [sys.executable, "-W", "error", "-c", absent + dedent(program)]
