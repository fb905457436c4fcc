"""Changes of type: whether values are lost, and whether the server writes the whole table anew."""

from __future__ import annotations

from math import inf

from manybase.migrations.lint.spelling import Spelled

LONGER = {("DATE", "TIMESTAMP"), ("DATE", "DATETIME"), ("TIMESTAMP", "DATETIME"), ("DATETIME", "TIMESTAMP")}
BYTES = (1, 4)  # that a character may take
SHORT = 256  # MySQL writes the length of shorter values into one byte


def loses(old: Spelled, new: Spelled) -> bool:
    """Whether values that fit the old type may not fit the new: servers refuse them, cut them off or round them."""
    if old.server == "sqlite":
        return loses_on_sqlite(old, new)
    match old.family, new.family:
        case ("string", "string") | ("bytes", "bytes"):
            return new.length < old.length
        case (_, "string"):
            return new.length < old.written
        case ("string", "other"):
            return new.name == "ENUM"  # what is no UUID or no JSON is refused
        case ("string" | "bytes", "integer" | "number" | "float" | "time") | ("float", "integer"):
            return True
        case ("float", "number"):
            return new.scale < inf
        case ("integer" | "float", "integer" | "float"):
            return new.digits < old.digits
        case ("integer", "number"):
            return new.whole < old.digits
        case ("number", "integer"):
            return old.scale > 0 or new.digits < old.whole
        case ("number", "float"):
            return new.digits < old.digits
        case ("number", "number"):
            return new.scale < old.scale or new.whole < old.whole
        case ("time", "time"):
            return (old.name, new.name) not in LONGER if old.name != new.name else new.precision < old.precision
        case ("time", "integer" | "number" | "float"):
            return True
    return old.name == new.name == "ENUM" and not {*old.arguments} <= {*new.arguments}


def loses_on_sqlite(old: Spelled, new: Spelled) -> bool:
    """SQLite heeds no lengths. Where the kind of type changes, Alembic's copy casts, and '2026-01-31' becomes 2026."""
    if old.family in ("string", "time"):
        return new.family in ("integer", "number", "float", "time") and old.name != new.name
    return old.family in ("number", "float") and new.family == "integer"


def rewrites(old: Spelled, new: Spelled) -> bool:
    """Whether the whole table is written anew, as far as that is known of the server."""
    if old == new:
        return False
    if old.server == "postgresql":
        return not is_free_on_postgresql(old, new)
    return old.server == "mysql" and not is_free_on_mysql(old, new)


def is_free_on_postgresql(old: Spelled, new: Spelled) -> bool:
    match old.name, new.name:
        case ("VARCHAR" | "TEXT" | "CITEXT", "VARCHAR" | "TEXT" | "CITEXT") | ("VARBIT", "VARBIT"):
            return new.length >= old.length
        case ("NUMERIC", "NUMERIC"):
            return not new.arguments or (new.scale == old.scale and new.whole >= old.whole)
        case ("TIME", "TIME") | ("TIMESTAMP", "TIMESTAMP"):
            return new.more == old.more and new.precision >= old.precision
        case ("CIDR", "INET"):
            return True
    return False


def is_free_on_mysql(old: Spelled, new: Spelled) -> bool:
    if old.name == new.name == "ENUM":
        return old.arguments == new.arguments[: len(old.arguments)] and len(new.arguments) < SHORT
    if (old.name, new.name, old.more) != ("VARCHAR", "VARCHAR", new.more):
        return False
    crosses = any(old.length * each < SHORT <= new.length * each for each in BYTES)
    return new.length >= old.length and not crosses
