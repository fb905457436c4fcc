"""Relationships between databases: configured to join, they load by a SELECT of their own instead."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, RelationshipProperty

from manybase.errors import ConfigurationError

JOINING = {"joined", "subquery", False}
SELECTIN = (("lazy", "selectin"),)


class Owning(Protocol):
    """What is asked of :class:`manybase.ownership.Ownership`."""

    def owners(self, table: Table) -> frozenset[str]: ...
    def owners_of(self, mapper: Mapper[Any]) -> frozenset[str]: ...


def load_across_by_selectin(mapper: Mapper[Any], ownership: Owning) -> None:
    """Make each relationship of ``mapper`` that is configured to join another database load by SELECT ... IN.

    So what only asks for the parent stays a statement of one database, which may lock its rows. Loader options of a
    statement still win: a ``joinedload`` joins the two databases. So does the SELECT ... IN itself where the condition
    is more than a key, and needs the parent's table.
    """
    own = ownership.owners_of(mapper)
    for relationship in mapper.relationships:
        if relationship.parent is not mapper:
            continue
        target = ownership.owners_of(relationship.mapper)
        check_secondary(relationship, ownership, target)
        if relationship.lazy in JOINING and not own & target:
            load_apart(relationship)


def load_apart(relationship: RelationshipProperty[Any]) -> None:
    # Private: RelationshipProperty._get_strategy (SQLAlchemy 2.0 and 2.1). The default loader of a relationship can
    # only be chosen before its mapper is configured, by whoever wrote the class; loader options on the statement, the
    # public way, would override the user's own. test_relationships.py fails when this changes.
    relationship.lazy = "selectin"
    relationship.strategy_key = SELECTIN
    relationship.strategy = relationship._get_strategy(SELECTIN)


def check_secondary(relationship: RelationshipProperty[Any], ownership: Owning, target: frozenset[str]) -> None:
    secondary = relationship.secondary
    if not isinstance(secondary, Table) or ownership.owners(secondary) & target:
        return
    raise ConfigurationError(
        f"{relationship}: its secondary table {secondary.fullname!r} lives in "
        f"{'/'.join(sorted(ownership.owners(secondary)))}, and its target in {'/'.join(sorted(target))}. SQLAlchemy "
        "reads and writes both through one connection: move the secondary table to the target's database."
    )
