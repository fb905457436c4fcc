"""Spelling: a column type as the server spells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.types import TypeEngine

SPELLED = re.compile(r"(\w+)(?: ?\((.*?)\))?( [^()\[\]]*)?")
LONG = {"CHARACTER VARYING": "VARCHAR", "DOUBLE PRECISION": "DOUBLE", "BIT VARYING": "VARBIT"}
SYNONYMS = {"INT": "INTEGER", "INT2": "SMALLINT", "INT4": "INTEGER", "INT8": "BIGINT", "DECIMAL": "NUMERIC"}
SYNONYMS |= {"BOOL": "BOOLEAN", "CHARACTER": "CHAR", "BPCHAR": "CHAR"}

FAMILIES = {
    "string": ("CHAR", "VARCHAR", "NCHAR", "NVARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "CITEXT", "CLOB"),
    "bytes": ("BINARY", "VARBINARY", "BYTEA", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "VARBIT"),
    "integer": ("BOOLEAN", "TINYINT", "SMALLINT", "MEDIUMINT", "INTEGER", "BIGINT"),
    "number": ("NUMERIC",),
    "float": ("REAL", "FLOAT", "DOUBLE"),
    "time": ("DATE", "TIME", "TIMESTAMP", "DATETIME"),
}
FAMILY = {name: family for family, names in FAMILIES.items() for name in names}
DIGITS = {"BOOLEAN": 1, "TINYINT": 3, "SMALLINT": 5, "MEDIUMINT": 7, "INTEGER": 10, "BIGINT": 19}
DIGITS |= {"REAL": 6, "FLOAT": 6, "DOUBLE": 15}
SIZES = {"TINYTEXT": 2**8, "MEDIUMTEXT": 2**24, "LONGTEXT": 2**32}
SIZES |= {"TINYBLOB": 2**8, "MEDIUMBLOB": 2**24, "LONGBLOB": 2**32}
OF_MYSQL = {"TEXT": 2**16, "BLOB": 2**16}
WRITTEN = {"UUID": 36, "DATE": 10, "TIME": 21, "TIMESTAMP": 32, "DATETIME": 32, "BOOLEAN": 5, "ENUM": 0, "INET": 43}


@dataclass(frozen=True)
class Spelled:
    """NUMERIC(10, 2) has the name NUMERIC and the arguments 10 and 2; what else is said is in ``more``."""

    name: str
    arguments: tuple[str, ...]
    more: str
    server: str

    @property
    def family(self) -> str:
        return FAMILY.get(self.name, "other")

    @property
    def length(self) -> float:
        """How many characters or bytes it holds."""
        if self.name in ("CHAR", "NCHAR", "BINARY"):
            return self.number(0, 1)
        sizes = SIZES | OF_MYSQL if self.server == "mysql" else SIZES
        return self.number(0, sizes.get(self.name, inf))

    @property
    def digits(self) -> float:
        return self.whole + self.scale if self.family == "number" else DIGITS[self.name]

    @property
    def whole(self) -> float:
        """How many digits stand before the point."""
        return self.number(0, 10 if self.server == "mysql" else inf) - self.number(1, 0)

    @property
    def scale(self) -> float:
        """How many digits stand behind the point."""
        return self.number(1, 0 if self.arguments or self.server == "mysql" else inf)

    @property
    def precision(self) -> float:
        """How many digits the seconds have behind the point."""
        return self.number(0, 0 if self.server == "mysql" else 6)

    @property
    def written(self) -> float:
        """How many characters its values are long, as text."""
        return WRITTEN.get(self.name, inf if self.family not in ("integer", "number", "float") else self.digits + 2)

    def number(self, position: int, otherwise: float) -> float:
        is_there = len(self.arguments) > position and self.arguments[position].isdigit()
        return int(self.arguments[position]) if is_there else otherwise

    def __str__(self) -> str:
        arguments = f"({', '.join(self.arguments)})" if self.arguments else ""
        return f"{self.name}{arguments} {self.more}".strip()


def spelled(type_: TypeEngine[Any], dialect: Dialect) -> Spelled:
    server = "mysql" if dialect.name == "mariadb" else dialect.name
    try:
        text = " ".join(type_.compile(dialect=dialect).split())
    except CompileError:  # VARCHAR without a length, on MySQL
        text = type_.__class__.__name__.upper()
    for long, short in LONG.items():
        text = re.sub(long, short, text, flags=re.IGNORECASE)
    match = SPELLED.fullmatch(text)
    if match is None:
        return Spelled(text, (), "", server)
    name, more = match[1].upper(), (match[3] or "").strip().upper().replace("WITHOUT TIME ZONE", "")
    if name.endswith("TZ"):
        name, more = name.removesuffix("TZ"), "WITH TIME ZONE"
    arguments = tuple(each.strip() for each in match[2].split(",")) if match[2] else ()
    name = SYNONYMS.get(name, name)
    if server == "mysql":
        name = "TINYINT" if name == "BOOLEAN" else name
        arguments = () if FAMILY.get(name) == "integer" else arguments  # INTEGER(11) says how to show it
    return Spelled(name, arguments, more, server)
