"""Comparing: what autogenerate looks at in one database: its own tables, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateForeignKeyOp, CreateTableOp, ModifyTableOps, OpContainer
from sqlalchemy import Column, Integer, MetaData, Numeric, Table
from sqlalchemy.schema import Constraint, SchemaItem

from manybase.engines import Databases
from manybase.gid import TABLE
from manybase.parts import base_of

OURS = "manybase"  # the schema in which manybase keeps its own tables


class Comparison:
    """The options of ``context.configure`` that concern autogenerate."""

    def __init__(self, databases: Databases, name: str) -> None:
        databases.load()
        name = base_of(name)
        self.tables = databases.tables(name) if databases.ownership.declares_models(name) else ()
        self.mine = frozenset(self.tables)
        self.keys = {key_of(table) for table in self.tables}
        self.others = {
            key_of(table)
            for other in databases.names
            if other != name and databases.ownership.declares_models(other)
            for table in databases.tables(other)
        } - self.keys
        self.schemas = {table.schema for table in self.tables}

    @property
    def options(self) -> dict[str, Any]:
        return {
            "target_metadata": list(dict.fromkeys(table.metadata for table in self.tables)) or MetaData(),
            "include_name": self.include_name,
            "include_object": self.include_object,
            "include_schemas": bool(self.schemas - {None}),
            "process_revision_directives": self.process,
            "compare_type": True,
            "compare_server_default": differs,
            "render_item": render_item,
        }

    def include_name(self, name: str | None, kind: str, parents: Any) -> bool:
        """Whether something that is in the database may be looked at."""
        if kind == "schema":
            return name in self.schemas
        if kind == "table":
            return (parents.get("schema_name"), name) not in self.others
        return True

    def include_object(self, item: SchemaItem, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
        """Whether something is compared: of the models, only what belongs to this database."""
        if kind == "table" and not reflected:
            return item in self.mine
        return not crosses(item)

    def process(self, context: Any, revision: Any, directives: list[Any]) -> None:
        """Keys into other databases stay out of the tables that are created."""
        for script in directives:
            for container in script.upgrade_ops_list:
                leave_out_keys(container)


def leaving_out_ours(include_name: Callable[..., bool] | None) -> Callable[..., bool]:
    """As ``include_name`` of an environment says, but never a table of manybase's own."""

    def include(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema" and name == OURS:
            return False
        if kind == "table" and (name == TABLE or parents.get("schema_name") == OURS):
            return False
        return include_name is None or include_name(name, kind, parents)

    return include


def key_of(table: Table) -> tuple[str | None, str]:
    return table.schema, table.name


def crosses(item: Any) -> bool:
    return isinstance(item, Constraint) and "cross_database" in item.info


def leave_out_keys(container: OpContainer) -> None:
    for each in list(container.ops):
        if isinstance(each, CreateTableOp):
            each.columns = [column for column in each.columns if not crosses(column)]
        elif isinstance(each, CreateForeignKeyOp) and crosses(each.to_constraint()):
            container.ops.remove(each)
        elif isinstance(each, (ModifyTableOps, OpContainer)):
            leave_out_keys(each)


def differs(_: Any, __: Any, column: Column[Any], found: str | None, ___: Any, wanted: str | None) -> bool | None:
    """Whether a server default is another one; None leaves that to Alembic. MariaDB writes defaults in its own way."""
    if found is None or wanted is None:
        return None
    if {now(found), now(wanted)} == {True}:
        return False
    if isinstance(column.type, (Integer, Numeric)) and number(found) == number(wanted) is not None:
        return False
    return None


def now(default: str) -> bool:
    return default.lower().removesuffix("()") in ("now", "current_timestamp")


def number(default: str) -> Decimal | None:
    try:
        return Decimal(default.strip("'()"))
    except InvalidOperation:
        return None


def render_item(kind: str, item: Any, context: AutogenContext) -> bool:
    """Types from other packages are written with their module, which a revision then has to import."""
    module = type(item).__module__
    if kind == "type" and not module.startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
    return False
