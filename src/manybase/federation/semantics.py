"""Semantics: what an executor does where databases differ.

Where all fragments of a statement live in one kind of server, that server's semantics hold; where kinds are mixed,
PostgreSQL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DIALECT = "manybase"  # what SQLAlchemy calls the database that several are


@dataclass(frozen=True, kw_only=True)
class Semantics:
    name: str
    nulls_first: bool  # in ascending order; in descending order they are at the other end
    integer_division: Literal["integer", "decimal"]  # of two integers by /
    division_by_zero: Literal["error", "null"]
    quotient: Literal[
        "significant", "scale", "float"
    ]  # digits of an exact quotient: PostgreSQL's rule, scale + 4, none
    sum_of_integers: Literal["by size", "decimal", "integer"]  # by size: Decimal where they have 64 bits
    like: Literal["exact", "collation", "ascii"]  # what LIKE takes for the same letter
    like_escape: str | None  # what escapes where ESCAPE is not said
    extract: Literal["decimal", "integer"]
    aware: bool  # whether DateTime(timezone=True) comes back with a time zone
    concat_skips_null: bool  # the function concat(); || never does
    greatest_skips_null: bool  # greatest() and least()
    log_base: Literal["10", "e"]  # log() of one argument
    length: Literal["characters", "bytes"]  # length() of a string
    round_half_even: bool  # round() of a float; exact numbers are rounded away from zero everywhere
    pads: bool  # 'a' = 'a ' where the collation is a case-insensitive one


POSTGRESQL = Semantics(
    name="postgresql",
    nulls_first=False,
    integer_division="integer",
    division_by_zero="error",
    quotient="significant",
    sum_of_integers="by size",
    like="exact",
    like_escape="\\",
    extract="decimal",
    aware=True,
    concat_skips_null=True,
    greatest_skips_null=True,
    log_base="10",
    length="characters",
    round_half_even=True,
    pads=False,
)
MYSQL = Semantics(
    name="mysql",
    nulls_first=True,
    integer_division="decimal",
    division_by_zero="null",
    quotient="scale",
    sum_of_integers="decimal",
    like="collation",
    like_escape="\\",
    extract="integer",
    aware=False,
    concat_skips_null=False,
    greatest_skips_null=False,
    log_base="e",
    length="bytes",
    round_half_even=True,
    pads=True,
)
SQLITE = Semantics(
    name="sqlite",
    nulls_first=True,
    integer_division="integer",
    division_by_zero="null",
    quotient="float",
    sum_of_integers="integer",
    like="ascii",
    like_escape=None,
    extract="integer",
    aware=False,
    concat_skips_null=True,
    greatest_skips_null=False,
    log_base="10",
    length="characters",
    round_half_even=False,
    pads=False,
)
KINDS = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL, "sqlite": SQLITE}


def semantics_of(*dialects: str) -> Semantics:
    """The semantics that hold over databases of these dialects."""
    kinds = {KINDS.get(name, POSTGRESQL).name: KINDS.get(name, POSTGRESQL) for name in dialects}
    return next(iter(kinds.values())) if len(kinds) == 1 else POSTGRESQL
