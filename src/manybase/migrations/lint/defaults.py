"""Defaults: whether the server computes one anew for each row that is there."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ClauseElement, DefaultClause, Dialect, FetchedValue
from sqlalchemy.exc import SQLAlchemyError

from manybase.migrations.lint.statements import plain

STABLE = re.compile(
    "now|(transaction|statement|current|local|utc|unix|to)_?timestamp|timezone|date_trunc|make_(date|interval)|"
    "coalesce|nullif|greatest|least|cast|lower|upper|concat|md5|length|round|abs|jsonb?_(build_)?(object|array)|"
    "to_jsonb?|array_fill|current_setting|version|decode|encode|to_tsvector|"
    "numeric|decimal|(var)?char|character|varying|bit|time|timestamp|interval|in|and|or|not|case|array|row"
)
VOLATILE_ON_MYSQL = {"uuid", "uuid_short", "rand", "sys_guid", "nextval", "random_bytes", "uuid_v4", "uuid_v7"}


def is_volatile(default: FetchedValue | None, dialect: Dialect) -> bool:
    """Whether it may differ from row to row. On PostgreSQL a function is volatile unless it is known not to be."""
    if not isinstance(default, DefaultClause):
        return False
    called = {name.lower() for name in re.findall(r"(\w+)\"? ?\(", plain(written(default.arg, dialect), dialect))}
    if dialect.name == "postgresql":
        return not all(STABLE.fullmatch(name) for name in called)
    return dialect.name in ("mysql", "mariadb") and bool(called & VOLATILE_ON_MYSQL)


def written(default: Any, dialect: Dialect) -> str:
    """A plain string is a value, not SQL."""
    if not isinstance(default, ClauseElement):
        return ""
    try:
        return str(default.compile(dialect=dialect))
    except SQLAlchemyError:
        return ""
