"""Keys: how the values that one fragment found are sent to the database of another, to fetch only what may match."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Enum,
    FromClause,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    String,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from manybase.federation.fragments import table_in
from manybase.packets import PSYCOPG

LISTED = 1_000  # keys that are sent as a list of parameters; beyond, only where one parameter can hold them all
LEAST, MOST = -(2**63), 2**63 - 1  # of BIGINT
DENSE = 2  # numbers from the least key to the most, for each key: beyond, what is between them is no key too often
LEAST_KEY, MOST_KEY = "least_of_", "most_of_"  # what the names of parameters begin with
Way: TypeAlias = Literal["keys", "scan", "between"]


@dataclass(frozen=True, eq=False, slots=True)
class Sending:
    """``condition`` is true where ``inner`` equals one of the keys: the parameter ``name``, as ``pack`` makes it.

    ``table`` has them as rows of one column, where the database can make one of them and should look each of them up.
    ``scan`` is as ``condition``, for a database that would walk an index and had better read all of the table, and
    ``between`` is true of the least key, the most, and whatever is between them, in such a database.
    """

    name: str
    inner: ColumnElement[Any]
    condition: ColumnElement[bool]
    pack: Callable[[Collection[Any]], Any]
    most: int
    table: FromClause | None = None
    probes: bool = False  # whether there is an index to look each of them up
    scan: ColumnElement[bool] | None = None
    between: ColumnElement[bool] | None = None
    joins: bool = False  # whether what has no match is found faster by a LEFT JOIN

    def says(self, way: Way) -> ColumnElement[bool]:
        """What is true of the keys, and of others that do no harm: the way that was found by ``way_of``."""
        found = {"keys": self.condition, "scan": self.scan, "between": self.between}[way]
        assert found is not None
        return found

    def way_of(self, keys: Collection[Any], *, scans: bool) -> Way:
        """How these keys are best sent to a database that ``scans`` all of the table, or does not."""
        if not scans or self.scan is None or not keys:
            return "keys"
        dense = self.between is not None and max(keys) - min(keys) < DENSE * len(keys)
        return "between" if dense else "scan"

    def parameters(self, keys: Collection[Any], way: Way) -> dict[str, Any]:
        if way == "between":
            return {LEAST_KEY + self.name: min(keys), MOST_KEY + self.name: max(keys)}
        return {self.name: self.pack(keys)}

    @property
    def returns(self) -> bool:
        """Whether a key comes back from ``table`` as it was sent, whatever the column: so that others were missing."""
        return self.table is not None and kind_of(self.inner.type) is int


class Integers(UserDefinedType[Any]):
    """An array of integers, of PostgreSQL. psycopg takes long to write one, item by item, and not to pass it on."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, item: str) -> None:
        self.item = item

    def get_col_spec(self, **_: Any) -> str:
        return f"{self.item}[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        return as_array if dialect.driver in PSYCOPG else None


def as_array(items: Collection[int | None]) -> str:
    return "{" + str(list(items))[1:-1].replace("None", "NULL") + "}"


def sending(dialect: Dialect, inner: ColumnElement[Any], name: str) -> Sending | None:
    """How keys get to a database; None where they cannot, because no key of theirs would mean the same there."""
    kind = kind_of(inner.type)
    if kind is None:
        return None
    if dialect.name == "postgresql":
        item: TypeEngine[Any] = BigInteger() if kind is int else inner.type
        keys: Any = bindparam(name, type_=Integers("BIGINT") if kind is int else ARRAY(item))
        table = func.unnest(keys).table_valued(column("value", item), name="sent").render_derived()
        return Sending(name, inner, inner == any_(keys), list, 10_000_000, table, is_indexed(inner))
    if dialect.name == "sqlite" and kind in (int, str):
        each = func.json_each(bindparam(name, type_=String())).table_valued(column("value", inner.type), name="sent")
        return in_json(name, inner, select(each.c.value), each)
    if kind is int and has_json_table(dialect):
        return replace(in_json(name, inner, of_json_table(name), of_json_table(name).subquery("keys")), joins=True)
    return Sending(name, inner, inner.in_(bindparam(name, type_=inner.type, expanding=True)), list, LISTED)


def in_json(name: str, inner: ColumnElement[Any], keys: Any, table: FromClause) -> Sending:
    """Without an index, these databases would read all of a table for each key."""
    indexed = is_indexed(inner)
    scan = between = None
    pack: Callable[[Collection[Any]], str] = packed
    if kind_of(inner.type) is int:
        pack = packed_integers
        plain = inner + literal_column("0")
        scan = plain.in_(keys)
        between = plain.between(bindparam(LEAST_KEY + name, type_=BigInteger()), bindparam(MOST_KEY + name))
    return Sending(name, inner, inner.in_(keys), pack, 10_000_000, table if indexed else None, indexed, scan, between)


def has_json_table(dialect: Dialect) -> bool:
    version = getattr(dialect, "server_version_info", None) or ()
    if dialect.name not in ("mysql", "mariadb"):
        return False
    return version >= ((10, 6) if getattr(dialect, "is_mariadb", False) else (8, 0, 4))


def of_json_table(name: str) -> Any:
    """The keys as rows: SQLAlchemy has no construct for it."""
    rows = f"SELECT value FROM JSON_TABLE(:{name}, '$[*]' COLUMNS (value BIGINT PATH '$')) AS sent"
    return text(rows).bindparams(bindparam(name, type_=String())).columns(column("value", BigInteger()))


def is_indexed(inner: Any) -> bool:
    """Whether the model says that an index begins with that column."""
    table = table_in(getattr(inner, "table", None))
    if table is None:
        return False
    constraints = [each for each in table.constraints if isinstance(each, (PrimaryKeyConstraint, UniqueConstraint))]
    first = [list(each.columns)[:1] for each in (*constraints, *table.indexes)]
    return any(columns and columns[0].name == inner.name for columns in first)


def packed(keys: Collection[Any]) -> str:
    return json.dumps(list(keys), separators=(",", ":"))


def packed_integers(keys: Collection[int]) -> str:
    return str(list(keys))  # the same, in less than half the time


def usable(keys: Collection[Any], inner: ColumnElement[Any], dialect: Dialect) -> Collection[Any] | None:
    """The keys that a column of such a type can equal; None where that cannot be told of one of them."""
    kind = kind_of(inner.type)
    if kind is int:
        return whole_numbers(keys)
    if kind is str:
        return texts(keys, holds_nul=dialect.name != "postgresql")
    if kind is None or not all(type(key) is kind for key in keys):
        return None
    return keys


def texts(keys: Collection[Any], *, holds_nul: bool) -> Collection[str] | None:
    """None where one of them could be there, and cannot be sent."""
    if not all(type(key) is str for key in keys):
        return None
    found = [key for key in keys if "\0" not in key]
    return None if holds_nul and len(found) < len(keys) else found


def whole_numbers(keys: Collection[Any]) -> Collection[int] | None:
    if set(map(type, keys)) == {int} and min(keys) >= LEAST and max(keys) <= MOST:
        return keys
    found = []
    for key in keys:
        if not isinstance(key, (int, decimal.Decimal, float)):
            return None
        if key == key and LEAST <= key <= MOST and key == int(key):  # not NaN, not infinite
            found.append(int(key))
    return found


def kind_of(type_: TypeEngine[Any]) -> type | None:
    """The Python type of its values, where equality of those is equality in every database."""
    if isinstance(type_, (TypeDecorator, Enum)):
        return None
    if isinstance(type_, Integer):
        return int
    if isinstance(type_, String):
        return str if type_.collation is None else None
    if isinstance(type_, Uuid):
        return uuid.UUID if type_.as_uuid else None
    if isinstance(type_, DateTime):
        return None if type_.timezone else datetime.datetime
    if isinstance(type_, Date):
        return datetime.date
    if isinstance(type_, Numeric) and type_.asdecimal:
        return decimal.Decimal
    return None
