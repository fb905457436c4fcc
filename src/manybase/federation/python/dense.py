"""Dense: groups of another database's rows, sent home as one array that is looked up by the key of the join.

Where keys are integers without many gaps, PostgreSQL can so group by what is not there, in one pass over its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, SmallInteger, bindparam, select
from sqlalchemy.ext.compiler import compiles

from manybase.federation.fragments import Fragment
from manybase.federation.keys import Integers
from manybase.federation.python.evaluating import Value
from manybase.federation.reading import Rows

MOST_GROUPS = 30_000
FEWEST_KEYS = 1_000  # below, they are sent as such
WIDEST, SPARSEST = 5_000_000, 20  # the span of the keys, also as a multiple of their number


class Looked(ColumnElement[Any]):
    """An element of an array."""

    inherit_cache = False
    type = SmallInteger()

    def __init__(self, array: Any, index: Any) -> None:
        self.array = array
        self.index = index

    def get_children(self, **_: Any) -> Any:
        return (self.array, self.index)


@compiles(Looked)
def look(element: Looked, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.array, **options)})[{compiler.process(element.index, **options)}]"


@dataclass(eq=False, slots=True)
class Dense:
    """``fragment`` sends groups, by one key; rows of ``known`` have the ``key``, and what ``groups`` are told by."""

    fragment: Fragment
    known: Fragment
    key: Value
    groups: list[Value]

    def numbered(self, rows: Rows, values: dict[str, Any]) -> Numbered | None:
        """The groups of the keys; None where they cannot be sent like that."""
        key, groups = self.key.of(values), [each.of(values) for each in self.groups]
        keys = list(map(key, rows))
        known = [each for each in keys if each is not None]
        if len(known) < FEWEST_KEYS or len(set(known)) < len(known) or set(map(type, known)) != {int}:
            return None
        least, most = min(known), max(known)
        if most - least >= min(WIDEST, SPARSEST * len(known)):
            return None
        numbers: dict[Any, int] = {}
        array: list[int | None] = [None] * (most - least + 1)
        some: list[int] = []  # a key of each group
        for each, *group in zip(keys, *(map(get, rows) for get in groups), strict=True):
            if each is None:
                continue
            told = tuple(group)
            number = numbers.get(told)
            if number is None:
                number = numbers[told] = len(some)
                some.append(each)
            array[each - least] = number
        return None if len(some) > MOST_GROUPS else Numbered(array, least, most, some)


@dataclass(frozen=True, slots=True)
class Numbered:
    array: list[int | None]
    least: int
    most: int
    some: list[int]

    @property
    def parameters(self) -> dict[str, Any]:
        return {"groups": self.array, "least": self.least, "most": self.most}

    def rows(self, found: Rows) -> Rows:
        """With one of its keys in place of the number of a group."""
        some = self.some
        return [(some[row[0]], *row[1:]) for row in found if row[0] is not None]


def dense_statement(fragment: Fragment) -> Any:
    key, *parts = fragment.outputs
    groups = bindparam("groups", type_=Integers("SMALLINT"))
    least, most = bindparam("least", type_=BigInteger()), bindparam("most", type_=BigInteger())
    number = Looked(groups, key.expression - least + 1).label(key.name)
    columns = [number, *(part.expression.label(part.name) for part in parts)]
    statement = select(*columns).select_from(*fragment.sources)
    return statement.where(*fragment.where, key.expression.between(least, most)).group_by(number)
