"""Drift: how a database differs from the models that are declared for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext

from manybase.errors import ConfigurationError
from manybase.migrations.environments import Heads, Target
from manybase.migrations.failures import naming
from manybase.migrations.revising import has_models


@dataclass(frozen=True)
class Drift:
    """``differences`` are the operations that would bring the database to its models, as a revision writes them."""

    database: str
    differences: tuple[str, ...]


def drift(target: Target) -> Drift:
    """Raises ``ConfigurationError`` where no models are declared to compare with."""
    if not target.history.has_environment and not has_models(target.databases, target.history):
        raise ConfigurationError(
            f"Database {target.name!r} declares no models, so there is nothing to compare it with."
        )
    found: list[str] = []

    def compare(heads: Heads, context: MigrationContext) -> Iterable[Any]:
        metadata = context.opts.get("target_metadata")
        if metadata is None:
            raise ConfigurationError(
                f"The env.py of {target.name!r} gives no target_metadata: there is nothing to compare it with."
            )
        directives = [produce_migrations(context, metadata)]
        if process := context.opts.get("process_revision_directives"):
            process(context, heads, directives)
        words = MigrationContext.configure(dialect=context.dialect)  # one with scripts would ask for metadata again
        for directive in directives:
            for operations in directive.upgrade_ops_list:
                found.extend(statements(render_python_code(operations, migration_context=words)))
        return ()

    with naming(target.name):
        target.run(compare, compare=True, dont_mutate=True)
    return Drift(target.name, tuple(found))


def statements(code: str) -> list[str]:
    """The calls of ``op`` in what Alembic has written, each in one line."""
    found: list[str] = []
    for line in code.splitlines():
        text = line.strip()
        if text.startswith("#") or not text:
            continue
        if text.startswith("op."):
            found.append(text)
        elif found:
            found[-1] += f" {text}"
    return found
