"""Relationships between databases: no join reaches across, so they load by a SELECT of their own."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, RelationshipProperty

from manybase.errors import ConfigurationError

JOINING = {"joined", "subquery", False, "selectin"}  # selectin: only where it needs the parent's table
SELECTIN = (("lazy", "selectin"),)
SELECT = (("lazy", "select"),)


class Owning(Protocol):
    """What is asked of :class:`manybase.ownership.Ownership`."""

    def owners(self, table: Table) -> frozenset[str]: ...
    def owners_of(self, mapper: Mapper[Any]) -> frozenset[str]: ...


def load_across_by_selectin(mapper: Mapper[Any], ownership: Owning) -> None:
    """Make each relationship of ``mapper`` that is configured to join another database load by SELECT ... IN.

    Where that would join the parent's table too (a secondary table, a condition that is more than a key) it loads
    lazily. Loader options of a statement still win; a ``joinedload`` across databases is refused when the statement is
    routed.
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
    # Private: RelationshipProperty._get_strategy and SelectInLoader.omit_join (SQLAlchemy 2.0 and 2.1). The default
    # loader of a relationship can only be chosen before its mapper is configured, by whoever wrote the class; loader
    # options on the statement, the public way, would override the user's own. test_relationships.py fails when this
    # changes.
    selectin: Any = relationship._get_strategy(SELECTIN)
    relationship.lazy = "selectin" if selectin.omit_join else "select"
    relationship.strategy_key = SELECTIN if selectin.omit_join else SELECT
    relationship.strategy = relationship._get_strategy(relationship.strategy_key)


def check_secondary(relationship: RelationshipProperty[Any], ownership: Owning, target: frozenset[str]) -> None:
    secondary = relationship.secondary
    if not isinstance(secondary, Table) or ownership.owners(secondary) & target:
        return
    raise ConfigurationError(
        f"{relationship}: its secondary table {secondary.fullname!r} lives in "
        f"{'/'.join(sorted(ownership.owners(secondary)))}, and its target in {'/'.join(sorted(target))}. SQLAlchemy "
        "reads and writes both through one connection: move the secondary table to the target's database."
    )
