"""Shape: a statement or a dialogue with a session, and what is known about its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from tests.federation.comparing import Bag

Build = Callable[[], Any]
Body = Callable[[Session], Any]
SHAPES: dict[str, "Shape"] = {}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a session is asked.

    ``lacking`` names backends that cannot answer it in one database, ``nonsense`` those whose answer means something
    else there; neither is an oracle for it. ``digits``: how many of a decimal are compared. ``empty``: no rows.
    ``same``: the answer does not depend on the data. ``without`` names backends that may not take part at all.
    """

    name: str
    body: Body
    lacking: frozenset[str] = frozenset()
    nonsense: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    digits: int | None = None
    empty: bool = False
    same: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def has_oracle(self, backend: str) -> bool:
        return backend not in self.lacking | self.nonsense


def unordered(build: Build | None = None, **facts: Any) -> Any:
    """A function that returns a statement, whose rows may come in any order."""
    return declare(build, facts, lambda build: lambda session: in_any_order(build())(session))


def ordered(build: Build | None = None, **facts: Any) -> Any:
    """A function that returns a statement which says in which order its rows come."""
    return declare(build, facts, lambda build: lambda session: session.execute(build()).all())


def dialogue(body: Body | None = None, **facts: Any) -> Any:
    """A function that does something with a session and returns what it got."""
    return declare(body, facts, lambda body: body)


def declare(function: Any, facts: dict[str, Any], as_body: Callable[[Any], Body]) -> Any:
    facts = {name: words(value) if isinstance(value, str) else value for name, value in facts.items()}

    def add(function: Any) -> Any:
        name = function.__name__
        assert name not in SHAPES, f"there are two shapes called {name}"
        SHAPES[name] = Shape(name=name, body=as_body(function), **facts)
        return function

    return add if function is None else add(function)


def in_any_order(statement: Any) -> Body:
    return lambda session: Bag(session.execute(statement).all())


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())
