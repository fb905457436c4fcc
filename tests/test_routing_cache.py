"""The routing cache: a statement of a known shape is not searched for tables again."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Boolean, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

from manybase import CrossDatabaseError, Database
from manybase import routing as module
from manybase.ownership import Ownership
from manybase.routing import Across, Router, cache_key
from tests.shop import NAMES, Event, ShopBase, User, shop_databases


@pytest.fixture
def router() -> Router:
    return shop_databases(dict.fromkeys(NAMES, "sqlite://")).router


def remembered(router: Router) -> int:
    return len(router._recent) + len(router._older)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The statements whose tables were really looked for, which is what the cache saves."""
    found: list[Any] = []
    look = module.tables_of

    def note(clause: Any, dialects: Callable[[], Any]) -> Any:
        found.append(clause)
        return look(clause, dialects)

    monkeypatch.setattr(module, "tables_of", note)
    return found


def test_same_shape_twice(router: Router, searches: list[Any]) -> None:
    """Statements that differ in their values only are looked at once."""
    for name in ("ann", "bob", "cid"):
        router.candidates(select(User).where(User.name == name))

    assert 1 == len(searches)


def test_refused_shape_twice(router: Router) -> None:
    """A refusal is not remembered as anything else."""
    for _ in range(2):
        with pytest.raises(CrossDatabaseError):
            router.candidates(update(User).where(User.id == Event.user_id).values(name="x"))


def test_shape_over_two_databases_twice(router: Router, searches: list[Any]) -> None:
    """It is looked at once, and remembered with whose tables are whose."""
    for number in range(2):
        found = router.candidates(select(User.name, Event.kind).where(User.id == number))
        assert isinstance(found, Across)
        assert {"analytics": ["events"], "shop": ["users"]} == found.tables

    assert 1 == len(searches)


def test_other_columns_of_the_same_table(router: Router, searches: list[Any]) -> None:
    """Another shape is looked at anew."""
    router.candidates(select(User.id))
    router.candidates(select(User.name))

    assert 2 == len(searches)


def test_more_shapes_than_the_cache_holds(searches: list[Any]) -> None:
    """The cache keeps to its size, and a shape that is used again and again stays in it."""
    router = Router(Ownership([Database("shop", models=ShopBase)]), lambda: (), size=10)
    often = select(User.id)
    for number in range(50):
        router.candidates(often)
        router.candidates(select(User.id.label(f"n{number}")))

    assert remembered(router) <= 10
    assert 51 == len(searches)


class Uncacheable(ColumnElement[bool]):
    inherit_cache = False
    type = Boolean()


@compiles(Uncacheable)
def render_uncacheable(element: Uncacheable, compiler: Any, **options: Any) -> str:
    return "1 = 1"


def test_statement_without_a_cache_key(router: Router, searches: list[Any]) -> None:
    """It is routed each time, and fills no cache."""
    for _ in range(2):
        assert {"shop"} == router.candidates(select(User.id).where(Uncacheable()))

    assert 2 == len(searches)
    assert 0 == remembered(router)


def test_insert_of_several_rows(router: Router) -> None:
    """values([...]) has no cache key in SQLAlchemy, and is routed all the same."""
    assert {"shop"} == router.candidates(insert(User).values([{"name": "ann"}, {"name": "bob"}]))


def test_private_cache_key_of_sqlalchemy() -> None:
    """The one private name that routing uses: equal for one shape, hashable, memoised, None if there is no key."""
    one, same, other = (select(User.id).where(User.name == n) for n in ("a", "b", "c"))
    other = other.limit(1)

    assert callable(one._generate_cache_key)
    assert cache_key(one) == cache_key(same) != cache_key(other)
    assert hash(cache_key(one)) == hash(cache_key(same))
    assert one._generate_cache_key() is one._generate_cache_key()
    assert cache_key(select(User.id).where(Uncacheable())) is None
