"""One query: its number, its statement, and what may differ between two right answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

Make = Callable[[], Select[Any]]


@dataclass(frozen=True, kw_only=True)
class Query:
    """``at_home``: one database answers it alone. ``order``: the columns it is ordered by, where rows may tie.
    ``quotients``: the columns that are divisions, whose digits end somewhere else on each database."""

    number: int
    make: Make
    at_home: bool
    order: tuple[int, ...] = ()
    quotients: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return f"Q{self.number}"


class Queries(list[Query]):
    """Collects the functions of a module."""

    def __init__(self, *, at_home: bool = False) -> None:
        super().__init__()
        self.at_home = at_home

    def add(self, number: int, *, order: tuple[int, ...] = (), quotients: Iterable[int] = ()) -> Callable[[Make], Make]:
        def added(make: Make) -> Make:
            self.append(
                Query(number=number, make=make, at_home=self.at_home, order=order, quotients=frozenset(quotients))
            )
            return make

        return added
