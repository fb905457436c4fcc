"""Offline: the SQL of revisions, written down instead of run, for somebody else to run. Nothing connects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from io import StringIO
from typing import Any, TextIO

from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.migrations.environments import Target, in_database
from manybase.migrations.failures import naming
from manybase.migrations.orders import Order
from manybase.migrations.places import places
from manybase.migrations.stepping import steps_from
from manybase.parts import Which


def write_sql(
    databases: Databases,
    order: Order,
    output: TextIO,
    *,
    names: Collection[str] | None = None,
    tenants: Which = None,
) -> None:
    """Write what ``order`` asks for. "from:to" as its destination starts at a revision, else at an empty database.

    Raises ``ConfigurationError`` for a downgrade that does not say where it starts, and ``MigrationFailed``.
    """
    for _, text in sql_of_each(databases, order, names, tenants):
        output.write(text)


def sql_of_each(
    databases: Databases, order: Order, names: Collection[str] | None, tenants: Which = None
) -> Iterator[tuple[str, str]]:
    """Each database with its SQL."""
    start, _, destination = order.destination.rpartition(":")
    if order.direction == "downgrade" and not start:
        raise ConfigurationError("To write the SQL of a downgrade, name where it starts and ends: from:to.")
    there = Order(order.direction, destination)

    def write(target: Target) -> str:
        written = StringIO()

        def steps(heads: Any, _: Any) -> Iterable[Any]:
            return steps_from(target, there, heads)

        with naming(target.name):
            target.run(steps, as_sql=True, starting_rev=start or None, destination_rev=destination, output=written)
        return searched(target) + written.getvalue()

    for history, name in places(databases, names, tenants):
        yield name, f"-- Database {name}\n\n{in_database(databases, history, name, write)}\n"


def searched(target: Target) -> str:
    """Where the statements are to look for the tables of a tenant that has a schema."""
    if target.part is None or target.part.schema is None:
        return ""
    schema = target.engine.dialect.identifier_preparer.quote_identifier(target.part.schema)
    return f"USE {schema};\n\n" if target.schema is None else f"SET search_path TO {schema};\n\n"
