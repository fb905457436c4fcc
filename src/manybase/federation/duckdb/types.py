"""Types: what SQLAlchemy's types become on the way into DuckDB and back, where that is not what PostgreSQL does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, types
from sqlalchemy.dialects.postgresql.base import PGDialect, PGTypeCompiler

Processor = Callable[[Any], Any]


class Exact(types.Numeric[Any]):
    def bind_processor(self, dialect: Dialect) -> Any:
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return decimals(self) if self.asdecimal else floating


class Floating(types.Float[Any]):
    def bind_processor(self, dialect: Dialect) -> Any:
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return decimals(self) if self.asdecimal else floating


class Instant(types.DateTime):
    """UTC without a time zone in DuckDB, which wants pytz for times with one."""

    def bind_processor(self, dialect: Dialect) -> Any:
        return in_utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return with_zone if self.timezone and getattr(dialect, "aware", True) else None


class Clock(types.Time):
    """MySQL's driver gives timedeltas, DuckDB does not."""


class Guid(types.Uuid[Any]):
    def bind_processor(self, dialect: Dialect) -> Any:
        return lambda value: value if value is None or isinstance(value, UUID) else UUID(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return None if self.as_uuid else lambda value: None if value is None else str(value)


class Json(types.JSON):
    """Text, whatever a driver for PostgreSQL would take."""


class Member(types.JSON.JSONIndexType):
    """A place in an array as it is, a name as a path."""

    def bind_processor(self, dialect: Dialect) -> Any:
        return lambda key: json_path([key])

    def literal_processor(self, dialect: Dialect) -> Any:
        return lambda key: quoted(json_path([key]))


class Path(types.JSON.JSONPathType):
    def bind_processor(self, dialect: Dialect) -> Any:
        return json_path

    def literal_processor(self, dialect: Dialect) -> Any:
        return lambda keys: quoted(json_path(keys))


def decimals(type_: types.Numeric[Any] | types.Float[Any]) -> Processor:
    """Floats, of databases that have nothing better, become decimals as SQLAlchemy makes them: with 10 digits, or as
    many as the type says."""
    scale = getattr(type_, "decimal_return_scale", None) or getattr(type_, "scale", None) or 10

    def decimal(value: Any) -> Any:
        if value is None or type(value) is Decimal:
            return value
        return Decimal(f"{value:.{scale}f}" if isinstance(value, float) else value)

    return decimal


def floating(value: Any) -> Any:
    return None if value is None else float(value)


def in_utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def with_zone(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def json_path(keys: Any) -> str:
    return "$" + "".join(
        f"[{key if key >= 0 else f'#{key}'}]" if isinstance(key, int) else f".{json.dumps(key, ensure_ascii=False)}"
        for key in keys
    )


def quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


COLSPECS = {
    **{known: given for known, given in PGDialect.colspecs.items() if not issubclass(known, (types.Enum, types.JSON))},
    types.Numeric: Exact,
    types.Float: Floating,
    types.DateTime: Instant,
    types.Time: Clock,
    types.Uuid: Guid,
    types.JSON: Json,
    types.JSON.JSONIndexType: Member,
    types.JSON.JSONIntIndexType: Member,
    types.JSON.JSONStrIndexType: Member,
    types.JSON.JSONPathType: Path,
}


def named(sql: str) -> Callable[..., Any]:
    def visit(self: Any, type_: Any, **kw: Any) -> str:
        return sql

    return visit


def whole(sql: str) -> Callable[..., Any]:
    def visit(self: Any, type_: Any, **kw: Any) -> str:
        return "HUGEINT" if getattr(type_, "unsigned", False) else sql  # of MySQL

    return visit


def exact(self: Any, type_: Any, **kw: Any) -> str:
    precision = 38 if type_.precision is None else min(type_.precision, 38)
    return f"DECIMAL({precision}, {10 if type_.precision is None else type_.scale or 0})"


class DuckDBTypeCompiler(PGTypeCompiler):
    """Names of types, for CAST; those of PostgreSQL and MySQL too."""

    visit_NUMERIC = visit_DECIMAL = exact  # noqa: N815
    visit_FLOAT = visit_DOUBLE = visit_DOUBLE_PRECISION = visit_REAL = visit_double = visit_float = named("DOUBLE")  # noqa: N815
    visit_TIMESTAMP = visit_DATETIME = named("TIMESTAMP")  # noqa: N815
    visit_TIME = named("TIME")  # noqa: N815
    visit_INTERVAL = named("INTERVAL")  # noqa: N815
    visit_JSONB = named("JSON")  # noqa: N815
    visit_BYTEA = visit_BLOB = visit_BINARY = visit_VARBINARY = named("BLOB")  # noqa: N815
    visit_LONGBLOB = visit_MEDIUMBLOB = visit_TINYBLOB = named("BLOB")  # noqa: N815
    visit_VARCHAR = visit_CHAR = visit_NCHAR = visit_NVARCHAR = visit_TEXT = visit_CLOB = named("VARCHAR")  # noqa: N815
    visit_LONGTEXT = visit_MEDIUMTEXT = visit_TINYTEXT = visit_CITEXT = named("VARCHAR")  # noqa: N815
    visit_INET = visit_CIDR = visit_MACADDR = visit_enum = visit_ENUM = named("VARCHAR")  # noqa: N815
    visit_TINYINT = visit_MEDIUMINT = visit_YEAR = whole("INTEGER")  # noqa: N815
    visit_uuid = visit_UUID = named("UUID")  # noqa: N815
    visit_INTEGER = whole("INTEGER")  # noqa: N815
    visit_BIGINT = whole("BIGINT")  # noqa: N815
