"""What is committed, seen from outside of the application."""

from sqlalchemy import NullPool, text

from manybase import Database, Databases, Session


def rows(databases: Databases, database: str, table: str, column: str = "id") -> list[object]:
    """The values of a column, in order, read through a connection that belongs to nobody else."""
    url = databases[database].resolve_url()
    outside = Databases(Database("outside", url, engine_options={"poolclass": NullPool}))
    with Session(outside) as session:
        return list(session.scalars(text(f"SELECT {column} FROM {table} ORDER BY {column}")))
