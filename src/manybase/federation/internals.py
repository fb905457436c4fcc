"""Internals: every private name of SQLAlchemy that cross-database selects need, each with why.

SQLAlchemy 2.0 and 2.1. The compiler documents its ``visit_`` methods only; what a SELECT is made of has public names
for its FROM and WHERE, and none for the rest. tests/federation/test_internals.py fails when one of them changes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Select, SelectBase, bindparam
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import TypeEngine

from manybase.reading import has_lock


def group_by_of(select: Select[Any]) -> Sequence[Any]:
    return select._group_by_clauses  # no public name


def order_by_of(select: Any) -> Sequence[Any]:
    return select._order_by_clauses  # type: ignore[no-any-return]  # no public name


def having_of(select: Select[Any]) -> Sequence[Any]:
    return select._having_criteria  # no public name


def where_of(select: Select[Any]) -> Sequence[Any]:
    return select._where_criteria  # whereclause, the public name, joins them


def limit_of(select: Any) -> ColumnElement[Any] | None:
    return select._limit_clause  # type: ignore[no-any-return]  # no public name


def offset_of(select: Any) -> ColumnElement[Any] | None:
    return select._offset_clause  # type: ignore[no-any-return]


def is_limited(select: Any) -> bool:
    """LIMIT, OFFSET or FETCH."""
    return bool(select._has_row_limiting_clause)


def is_fetched(select: Any) -> bool:
    return select._fetch_clause is not None


def is_distinct(select: Select[Any]) -> bool:
    return bool(select._distinct)


def distinct_on_of(select: Select[Any]) -> Sequence[Any]:
    return select._distinct_on


def has_oddities(select: Select[Any]) -> bool:
    """Prefixes, suffixes, hints: text that is meant for one server."""
    return bool(select._prefixes or select._suffixes or select._hints or select._statement_hints)


is_for_update = has_lock  # no public name either; what a replica session refuses is known by it too


def without_where(select: Select[Any]) -> Select[Any]:
    """The same SELECT without its WHERE: there is only where() to add to it."""
    bare = copy.copy(select)
    bare._where_criteria = ()
    return bare


def as_core(statement: Any) -> Any:
    """A SELECT of ORM columns that is compiled as it stands; the ORM has compiled it already, as a part of another."""
    statement._propagate_attrs = {}
    return statement


def bare(source: Any) -> Any:
    """A FROM element without what the ORM has noted at it; it is equal to itself with that, but no copy of both is."""
    return source._deannotate()


def columns_of(compile_state: Any) -> list[ColumnElement[Any]]:
    """What a SELECT selects, one for each column of its result."""
    return [entry[3] for entry in compile_state.columns_plus_names]


def result_of(compiler: Any) -> Sequence[Any]:
    """The columns of the result, each with its ``type``."""
    return compiler._result_columns  # type: ignore[no-any-return]


def has_criteria(compile_state: Any) -> bool:
    """Whether with_loader_criteria() adds to what a subquery says."""
    known = getattr(compile_state, "global_attributes", None) or {}
    return any(isinstance(key, tuple) and key[0] == "additional_entity_criteria" for key in known)


def label_of(reference: Any) -> Any:
    """What ORDER BY or GROUP BY refers to: an expression, or the name of a label (a string)."""
    kind = reference.__visit_name__
    return reference.element if kind in ("label_reference", "textual_label_reference") else reference


def is_orm(statement: SelectBase | ClauseElement) -> bool:
    """Whether the ORM will compile it, and may add to it."""
    attributes: Any = statement._propagate_attrs
    return bool(attributes.get("compile_state_plugin") == "orm")


def values_of(context: Any) -> dict[str, Any]:
    """The values of all parameters of a statement that runs, as they were given."""
    parameters: dict[str, Any] = context.compiled_parameters[0].given
    return parameters


def raw_rows(result: Any, size: int) -> Any:
    """The next rows as the driver gives them: those of the cursor, and what SQLAlchemy has already read of them."""
    return result.cursor_strategy.fetchmany(result, result.cursor, size)


def bind_of_type(bind: BindParameter[Any], type_: TypeEngine[Any]) -> BindParameter[Any]:
    """The same parameter, with the same name and value, as one of another type."""
    made: BindParameter[Any] = bind._clone(maintain_key=True)
    made.type = type_
    return made


def named_bind(bind: BindParameter[Any], name: str) -> BindParameter[Any]:
    """A parameter of that name that takes what ``bind`` takes, also an empty list where it is one of NOT IN."""
    made: BindParameter[Any] = bindparam(
        name, type_=bind.type, expanding=bind.expanding, literal_execute=bind.literal_execute
    )
    made.expand_op = bind.expand_op
    return made
